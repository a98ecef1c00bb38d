#include <algorithm>
#include <vector>

#include "caffe/util/math_functions.hpp"
#include "engine/update_kernels.cuh"
#include "engine/update_on_gpu.hpp"

namespace caffe {

// Blocks that sum up a blob: sixteen elements a thread, and no more than fill every card.
static int SumBlocks(int count) {
  return std::max(1, std::min(1024, count / (16 * kSumThreads)));
}

template <typename Dtype>
double SumOfSquaresOnGpu(const vector<Blob<Dtype>*>& params, const vector<float>& rates, Blob<double>* sums) {
  int blocks = 0;
  for (int i = 0; i < params.size(); ++i) { blocks += rates[i] == 0 ? 0 : SumBlocks(params[i]->count()); }
  if (blocks == 0) { return 0; }
  sums->Reshape(vector<int>(1, blocks));
  double* to = sums->mutable_gpu_data();
  for (int i = 0; i < params.size(); ++i) {
    if (rates[i] == 0) { continue; }  // its gradient is not computed
    const int count = params[i]->count(), of_this = SumBlocks(count);
    SumOfSquares<Dtype><<<of_this, kSumThreads>>>(count, params[i]->gpu_diff(), to);
    CUDA_POST_KERNEL_CHECK;
    to += of_this;
  }
  const double* sum_of = sums->cpu_data();
  double sum = 0;
  for (int i = 0; i < blocks; ++i) { sum += sum_of[i]; }
  return sum;
}

template <typename Dtype>
void UpdateOnGpu(int n, Dtype scale, Dtype decay, Dtype rate, Dtype momentum, Dtype* diff, Dtype* history, Dtype* data) {
  Update<Dtype><<<CAFFE_GET_BLOCKS(n), CAFFE_CUDA_NUM_THREADS>>>(n, scale, decay, rate, momentum, diff, history, data);
  CUDA_POST_KERNEL_CHECK;
}

template double SumOfSquaresOnGpu<float>(const vector<Blob<float>*>&, const vector<float>&, Blob<double>*);
template double SumOfSquaresOnGpu<double>(const vector<Blob<double>*>&, const vector<float>&, Blob<double>*);
template void UpdateOnGpu<float>(int, float, float, float, float, float*, float*, float*);
template void UpdateOnGpu<double>(int, double, double, double, double, double*, double*, double*);

}  // namespace caffe
