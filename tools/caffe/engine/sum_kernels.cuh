// The kernels of SumGroup on a GPU. As frozen_norm_kernels.cuh they include nothing, for tests/test_fused_kernels.py.

namespace caffe {

template <typename Dtype>
__global__ void SumForward(const int n, const Dtype* first, const Dtype* second, Dtype* sum) {
  CUDA_KERNEL_LOOP(i, n) {
    const Dtype y = first[i] + second[i];
    sum[i] = y < Dtype(0) ? Dtype(0) : y;  // NaN stays NaN
  }
}

// The gradient of each of the two, or of one where the other is NULL.
template <typename Dtype>
__global__ void SumBackward(const int n, const Dtype* sum, const Dtype* diff, Dtype* first, Dtype* second) {
  CUDA_KERNEL_LOOP(i, n) {
    const Dtype g = sum[i] > Dtype(0) ? diff[i] : Dtype(0);
    if (first != NULL) { first[i] = g; }
    if (second != NULL) { second[i] = g; }
  }
}

}  // namespace caffe
