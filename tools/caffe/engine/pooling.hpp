#ifndef CAFFE_ENGINE_POOLING_HPP_
#define CAFFE_ENGINE_POOLING_HPP_

namespace caffe {

// Max and average pooling of the CPU for a blob in either order (engine/layout.hpp), over all cores: planes of
// lanes side by side, one lane in Caffe's own order.
struct PoolingShape {
  int planes, lanes;  // num · channels / lanes
  int height, width, pooled_height, pooled_width;
  int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
};

// index: of each maximum, the pixel it was found at, counted through its plane.
template <typename Dtype>
void MaxPool(const PoolingShape& shape, const Dtype* bottom, Dtype* top, int* index);
template <typename Dtype>
void MaxPoolGradient(const PoolingShape& shape, const Dtype* top_diff, const int* index, Dtype* bottom_diff);
template <typename Dtype>
void AveragePool(const PoolingShape& shape, const Dtype* bottom, Dtype* top);
template <typename Dtype>
void AveragePoolGradient(const PoolingShape& shape, const Dtype* top_diff, Dtype* bottom_diff);

}  // namespace caffe

#endif  // CAFFE_ENGINE_POOLING_HPP_
