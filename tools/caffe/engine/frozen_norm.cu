#include <algorithm>
#include <vector>

#include "caffe/util/math_functions.hpp"
#include "engine/frozen_norm.hpp"
#include "engine/frozen_norm_kernels.cuh"

namespace caffe {

template <typename Dtype>
void NormGroup<Dtype>::ForwardOnGpu() {
  Blob<Dtype>* blob = this->tops_[0][0];
  const int count = blob->count(), channels = norm_.channels();
  mean_.Reshape(vector<int>(1, channels));
  deviation_.Reshape(vector<int>(1, channels));
  FrozenStatistics<Dtype><<<CAFFE_GET_BLOCKS(channels), CAFFE_CUDA_NUM_THREADS>>>(channels,
      norm_.statistic(0)->gpu_data(), norm_.statistic(1)->gpu_data(), norm_.statistic(2)->gpu_data(),
      Dtype(norm_.epsilon()), mean_.mutable_gpu_data(), deviation_.mutable_gpu_data());
  CUDA_POST_KERNEL_CHECK;
  (relu_ ? FrozenForward<Dtype, true> : FrozenForward<Dtype, false>)
      <<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(count, mean_.gpu_data(), deviation_.gpu_data(),
      norm_.gamma()->gpu_data(), norm_.beta()->gpu_data(), channels, blob->count(2), blob->mutable_gpu_data(),
      kept_.mutable_gpu_data());
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void NormGroup<Dtype>::BackwardOnGpu() {
  Blob<Dtype>* blob = this->tops_[0][0];
  const int channels = norm_.channels();
  // Enough blocks for every card: some 4,000, of 64 channels or of 2,048.
  const int parts = std::min(blob->shape(0), std::max(1, 4096 / channels));
  partial_.Reshape(vector<int>(1, 2 * channels * parts));
  Dtype* partial = partial_.mutable_gpu_data();
  (relu_ ? FrozenBackward<Dtype, true> : FrozenBackward<Dtype, false>)<<<dim3(channels, parts), kFrozenThreads>>>(
      blob->shape(0), channels, blob->count(2), deviation_.gpu_data(), norm_.gamma()->gpu_data(),
      norm_.beta()->gpu_data(), kept_.gpu_data(), blob->mutable_gpu_diff(), partial);
  CUDA_POST_KERNEL_CHECK;
  if (norm_.learns_gamma()) {
    FrozenSums<Dtype><<<CAFFE_GET_BLOCKS(channels), CAFFE_CUDA_NUM_THREADS>>>(channels, parts, partial,
        norm_.gamma()->mutable_gpu_diff());
    CUDA_POST_KERNEL_CHECK;
  }
  if (norm_.learns_beta()) {
    FrozenSums<Dtype><<<CAFFE_GET_BLOCKS(channels), CAFFE_CUDA_NUM_THREADS>>>(channels, parts,
        partial + channels * parts, norm_.beta()->mutable_gpu_diff());
    CUDA_POST_KERNEL_CHECK;
  }
}

template <typename Dtype>
void NormGroup<Dtype>::RestoreOnGpu() {
  Blob<Dtype>* blob = this->tops_[0][0];
  const int count = blob->count();
  FrozenRestore<Dtype><<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(count, mean_.gpu_data(),
      deviation_.gpu_data(), norm_.channels(), blob->count(2), kept_.gpu_data(), blob->mutable_gpu_data());
  CUDA_POST_KERNEL_CHECK;
}

template void NormGroup<float>::ForwardOnGpu();
template void NormGroup<double>::ForwardOnGpu();
template void NormGroup<float>::BackwardOnGpu();
template void NormGroup<double>::BackwardOnGpu();
template void NormGroup<float>::RestoreOnGpu();
template void NormGroup<double>::RestoreOnGpu();

}  // namespace caffe
