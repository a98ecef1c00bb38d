#include "engine/pooling.hpp"

#include <algorithm>
#include <cfloat>
#include <cstddef>

namespace caffe {

// One output pixel's window: where it is in the image, and what an average divides by, padding counted in.
struct Window {
  int h_begin, h_end, w_begin, w_end, size;
  Window(const PoolingShape& s, int ph, int pw) {
    const int h = ph * s.stride_h - s.pad_h, w = pw * s.stride_w - s.pad_w;
    size = (std::min(h + s.kernel_h, s.height + s.pad_h) - h) * (std::min(w + s.kernel_w, s.width + s.pad_w) - w);
    h_begin = std::max(h, 0);
    w_begin = std::max(w, 0);
    h_end = std::min(h + s.kernel_h, s.height);
    w_end = std::min(w + s.kernel_w, s.width);
  }
};

// work(plane) on all cores; lanes as a constant, so that the compiler makes vectors of them.
#define FOR_PLANES(WORK)                                                       \
  _Pragma("omp parallel for")                                                  \
  for (int plane = 0; plane < shape.planes; ++plane) {                         \
    switch (shape.lanes) {                                                     \
    case 16: WORK(16); break;                                                  \
    case 8: WORK(8); break;                                                    \
    default: WORK(1);                                                          \
    }                                                                          \
  }

template <int lanes, typename Dtype>
__attribute__((optimize("O3")))
static void MaxPlane(const PoolingShape& s, const Dtype* bottom, Dtype* top, int* index) {
  for (int ph = 0; ph < s.pooled_height; ++ph) {
    for (int pw = 0; pw < s.pooled_width; ++pw, top += lanes, index += lanes) {
      const Window window(s, ph, pw);
      Dtype most[lanes];  // in registers, where the compiler knows that nothing else writes
      int at[lanes];
      std::fill_n(most, lanes, Dtype(-FLT_MAX));
      std::fill_n(at, lanes, -1);
      for (int h = window.h_begin; h < window.h_end; ++h) {
        for (int w = window.w_begin; w < window.w_end; ++w) {
          const int pixel = h * s.width + w;
          const Dtype* value = bottom + static_cast<size_t>(pixel) * lanes;
          for (int lane = 0; lane < lanes; ++lane) {
            const bool more = value[lane] > most[lane];
            most[lane] = more ? value[lane] : most[lane];
            at[lane] = more ? pixel : at[lane];
          }
        }
      }
      std::copy_n(most, lanes, top);
      std::copy_n(at, lanes, index);
    }
  }
}

template <typename Dtype>
void MaxPool(const PoolingShape& shape, const Dtype* bottom, Dtype* top, int* index) {
  const size_t in = static_cast<size_t>(shape.height) * shape.width * shape.lanes;
  const size_t out = static_cast<size_t>(shape.pooled_height) * shape.pooled_width * shape.lanes;
#define WORK(lanes) MaxPlane<lanes>(shape, bottom + plane * in, top + plane * out, index + plane * out)
  FOR_PLANES(WORK)
#undef WORK
}

template <int lanes, typename Dtype>
static void MaxPlaneGradient(const PoolingShape& s, const Dtype* top_diff, const int* index, Dtype* bottom_diff) {
  std::fill_n(bottom_diff, static_cast<size_t>(s.height) * s.width * lanes, Dtype(0));
  for (int pixel = 0; pixel < s.pooled_height * s.pooled_width; ++pixel, top_diff += lanes, index += lanes) {
    for (int lane = 0; lane < lanes; ++lane) {
      if (index[lane] >= 0) { bottom_diff[static_cast<size_t>(index[lane]) * lanes + lane] += top_diff[lane]; }
    }
  }
}

template <typename Dtype>
void MaxPoolGradient(const PoolingShape& shape, const Dtype* top_diff, const int* index, Dtype* bottom_diff) {
  const size_t in = static_cast<size_t>(shape.height) * shape.width * shape.lanes;
  const size_t out = static_cast<size_t>(shape.pooled_height) * shape.pooled_width * shape.lanes;
#define WORK(lanes) \
  MaxPlaneGradient<lanes>(shape, top_diff + plane * out, index + plane * out, bottom_diff + plane * in)
  FOR_PLANES(WORK)
#undef WORK
}

template <int lanes, typename Dtype>
__attribute__((optimize("O3")))
static void AveragePlane(const PoolingShape& s, const Dtype* bottom, Dtype* top) {
  for (int ph = 0; ph < s.pooled_height; ++ph) {
    for (int pw = 0; pw < s.pooled_width; ++pw, top += lanes) {
      const Window window(s, ph, pw);
      std::fill_n(top, lanes, Dtype(0));
      for (int h = window.h_begin; h < window.h_end; ++h) {
        for (int w = window.w_begin; w < window.w_end; ++w) {
          const Dtype* value = bottom + (static_cast<size_t>(h) * s.width + w) * lanes;
          for (int lane = 0; lane < lanes; ++lane) { top[lane] += value[lane]; }
        }
      }
      for (int lane = 0; lane < lanes; ++lane) { top[lane] /= window.size; }
    }
  }
}

template <typename Dtype>
void AveragePool(const PoolingShape& shape, const Dtype* bottom, Dtype* top) {
  const size_t in = static_cast<size_t>(shape.height) * shape.width * shape.lanes;
  const size_t out = static_cast<size_t>(shape.pooled_height) * shape.pooled_width * shape.lanes;
#define WORK(lanes) AveragePlane<lanes>(shape, bottom + plane * in, top + plane * out)
  FOR_PLANES(WORK)
#undef WORK
}

template <int lanes, typename Dtype>
__attribute__((optimize("O3")))
static void AveragePlaneGradient(const PoolingShape& s, const Dtype* top_diff, Dtype* bottom_diff) {
  std::fill_n(bottom_diff, static_cast<size_t>(s.height) * s.width * lanes, Dtype(0));
  for (int ph = 0; ph < s.pooled_height; ++ph) {
    for (int pw = 0; pw < s.pooled_width; ++pw, top_diff += lanes) {
      const Window window(s, ph, pw);
      for (int h = window.h_begin; h < window.h_end; ++h) {
        for (int w = window.w_begin; w < window.w_end; ++w) {
          Dtype* value = bottom_diff + (static_cast<size_t>(h) * s.width + w) * lanes;
          for (int lane = 0; lane < lanes; ++lane) { value[lane] += top_diff[lane] / window.size; }
        }
      }
    }
  }
}

template <typename Dtype>
void AveragePoolGradient(const PoolingShape& shape, const Dtype* top_diff, Dtype* bottom_diff) {
  const size_t in = static_cast<size_t>(shape.height) * shape.width * shape.lanes;
  const size_t out = static_cast<size_t>(shape.pooled_height) * shape.pooled_width * shape.lanes;
#define WORK(lanes) AveragePlaneGradient<lanes>(shape, top_diff + plane * out, bottom_diff + plane * in)
  FOR_PLANES(WORK)
#undef WORK
}

#define INSTANTIATE(Dtype)                                                                             \
  template void MaxPool(const PoolingShape&, const Dtype*, Dtype*, int*);                              \
  template void MaxPoolGradient(const PoolingShape&, const Dtype*, const int*, Dtype*);                \
  template void AveragePool(const PoolingShape&, const Dtype*, Dtype*);                                \
  template void AveragePoolGradient(const PoolingShape&, const Dtype*, Dtype*);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE
#undef FOR_PLANES

}  // namespace caffe
