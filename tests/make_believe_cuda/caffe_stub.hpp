// Of Caffe's layers, what the convolution of cuDNN sets itself up with: shapes, and no numbers.
#pragma once
#include <vector>

namespace caffe {
class LayerParameter {};
enum PoolingParameter_PoolMethod { PoolingParameter_PoolMethod_MAX, PoolingParameter_PoolMethod_AVE };
}  // namespace caffe

#include "caffe/common.hpp"

namespace caffe {

template <typename Dtype>
class Blob {
 public:
  explicit Blob(const vector<int>& shape = vector<int>()) : shape_(shape) {}
  const vector<int>& shape() const { return shape_; }
  int shape(int i) const { return shape_[i]; }

 private:
  vector<int> shape_;
};
struct Numbers {
  vector<int> of;
  const int* cpu_data() const { return of.data(); }
};

template <typename Dtype>
class ConvolutionLayer {
 public:
  explicit ConvolutionLayer(const LayerParameter&) {}
  virtual ~ConvolutionLayer() {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>&, const vector<Blob<Dtype>*>&) {}
  virtual void Reshape(const vector<Blob<Dtype>*>&, const vector<Blob<Dtype>*>&) {}
  virtual void Forward_gpu(const vector<Blob<Dtype>*>&, const vector<Blob<Dtype>*>&) {}
  virtual void Backward_gpu(const vector<Blob<Dtype>*>&, const vector<bool>&, const vector<Blob<Dtype>*>&) {}

  int group_ = 1, num_output_ = 8, channels_ = 8, num_ = 2, num_spatial_axes_ = 2, channel_axis_ = 1;
  int bottom_dim_ = 0, top_dim_ = 0, out_spatial_dim_ = 0, weight_offset_ = 0;
  bool bias_term_ = true;
  Numbers kernel_shape_{{3, 3}}, pad_{{1, 1}}, stride_{{1, 1}};
  vector<shared_ptr<Blob<Dtype> > > blobs_;
  vector<bool> param_propagate_down_;
};

}  // namespace caffe
