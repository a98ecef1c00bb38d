// The kernels of a solver's update on a GPU. As frozen_norm_kernels.cuh they include nothing, for
// tests/test_fused_kernels.py.

namespace caffe {

const int kSumThreads = 256;

// sums[block] = Σ x² over the elements that this block takes.
template <typename Dtype>
__global__ void SumOfSquares(const int n, const Dtype* x, double* sums) {
  double sum = 0;
  CUDA_KERNEL_LOOP(i, n) { sum += double(x[i]) * x[i]; }
  __shared__ double of_threads[kSumThreads];
  of_threads[threadIdx.x] = sum;
  for (int half = kSumThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) { of_threads[threadIdx.x] += of_threads[threadIdx.x + half]; }
  }
  if (threadIdx.x == 0) { sums[blockIdx.x] = of_threads[0]; }
}

template <typename Dtype>
__global__ void Update(const int n, const Dtype scale, const Dtype decay, const Dtype rate, const Dtype momentum,
    Dtype* diff, Dtype* history, Dtype* data) {
  CUDA_KERNEL_LOOP(i, n) {
    const Dtype step = momentum * history[i] + rate * (scale * diff[i] + decay * data[i]);
    history[i] = step;
    diff[i] = step;
    data[i] -= step;
  }
}

}  // namespace caffe
