#ifndef CAFFE_ENGINE_LAYOUT_HPP_
#define CAFFE_ENGINE_LAYOUT_HPP_

#include <cstddef>
#include <vector>

namespace caffe {

// The order in which a float blob of shape (num, channels, height, width) lies in memory.
//
// Plain, which is Caffe's: num, channels, height · width.
// Blocked, which is what vector units want: num, channels / lanes, height · width, lanes. The convolutions of oneDNN
// compute in it, and between them the numbers stay in it: whoever asks a blob for cpu_data() finds them plain again.
struct Layout {
  int num = 0, channels = 0, inner = 0;  // all 0: plain

  bool plain() const { return num == 0; }
  bool operator==(const Layout& other) const {
    return num == other.num && channels == other.channels && inner == other.inner;
  }
  bool operator!=(const Layout& other) const { return !(*this == other); }
};

// Floats in a vector register: 16 with AVX-512, 8 with AVX2, 0 where nothing is blocked.
int Lanes();

// The blocked layout of a blob of this shape, or the plain one where it has none.
Layout BlockedLayout(const std::vector<int>& shape);

// Reorders what lies at data in place, over all cores.
void Reorder(const Layout& from, const Layout& to, float* data);

}  // namespace caffe

#endif  // CAFFE_ENGINE_LAYOUT_HPP_
