#include <vector>

#include "caffe/util/math_functions.hpp"
#include "engine/sum_group.hpp"
#include "engine/sum_kernels.cuh"

namespace caffe {

template <typename Dtype>
void SumGroup<Dtype>::ForwardOnGpu() {
  const vector<Blob<Dtype>*>& bottom = this->bottoms_[0];
  Blob<Dtype>* top = this->tops_[0][0];
  const int count = top->count();
  SumForward<Dtype><<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(count, bottom[0]->gpu_data(),
      bottom[1]->gpu_data(), top->mutable_gpu_data());
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void SumGroup<Dtype>::BackwardOnGpu(const vector<bool>& propagate_down) {
  const vector<Blob<Dtype>*>& bottom = this->bottoms_[0];
  Blob<Dtype>* top = this->tops_[0][0];
  const int count = top->count();
  SumBackward<Dtype><<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(count, top->gpu_data(), top->gpu_diff(),
      propagate_down[0] ? bottom[0]->mutable_gpu_diff() : NULL,
      propagate_down[1] ? bottom[1]->mutable_gpu_diff() : NULL);
  CUDA_POST_KERNEL_CHECK;
}

template void SumGroup<float>::ForwardOnGpu();
template void SumGroup<double>::ForwardOnGpu();
template void SumGroup<float>::BackwardOnGpu(const vector<bool>&);
template void SumGroup<double>::BackwardOnGpu(const vector<bool>&);

}  // namespace caffe
