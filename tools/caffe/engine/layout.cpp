#include "engine/layout.hpp"

#include <algorithm>
#include <vector>

#ifdef USE_ONEDNN
#include <dnnl.hpp>
#endif

namespace caffe {

int Lanes() {
#ifdef USE_ONEDNN
  static const int lanes = [] {
    const auto isa = static_cast<int>(dnnl::get_effective_cpu_isa());
    const auto has = [isa](dnnl::cpu_isa wanted) {
      return (isa & static_cast<int>(wanted)) == static_cast<int>(wanted);
    };
    return has(dnnl::cpu_isa::avx512_core) ? 16 : has(dnnl::cpu_isa::avx2) ? 8 : 0;
  }();
  return lanes;
#else
  return 0;
#endif
}

Layout BlockedLayout(const std::vector<int>& shape) {
  Layout layout;
  if (shape.size() != 4 || Lanes() == 0 || shape[1] % Lanes() != 0 || shape[1] == 0) { return layout; }
  layout.num = shape[0];
  layout.channels = shape[1];
  layout.inner = shape[2] * shape[3];
  return layout.num * layout.inner == 0 ? Layout() : layout;
}

// One image: inner × lanes of each block from lanes × inner, or the other way round.
static void ReorderImage(const Layout& layout, bool to_blocked, const float* from, float* to) {
  const int lanes = Lanes(), inner = layout.inner;
  for (int block = 0; block < layout.channels / lanes; ++block) {
    for (int i = 0; i < inner; ++i) {
      for (int lane = 0; lane < lanes; ++lane) {
        if (to_blocked) {
          to[i * lanes + lane] = from[lane * inner + i];
        } else {
          to[lane * inner + i] = from[i * lanes + lane];
        }
      }
    }
    from += lanes * inner;
    to += lanes * inner;
  }
}

void Reorder(const Layout& from, const Layout& to, float* data) {
  if (from == to) { return; }
  if (!from.plain() && !to.plain()) {
    Reorder(from, Layout(), data);
    Reorder(Layout(), to, data);
    return;
  }
  const Layout& layout = from.plain() ? to : from;
  if (layout.inner == 1) { return; }  // both orders are the same
  const size_t image = static_cast<size_t>(layout.channels) * layout.inner;
#pragma omp parallel
  {
    std::vector<float> copy(image);
#pragma omp for
    for (int n = 0; n < layout.num; ++n) {
      std::copy(data + n * image, data + (n + 1) * image, copy.begin());
      ReorderImage(layout, from.plain(), copy.data(), data + n * image);
    }
  }
}

}  // namespace caffe
