// The kernels of NormGroup on a GPU. They include nothing, so that tests/test_fused_kernels.py can compile them word for
// word for the CPU, with threads for threads.

namespace caffe {

// Mean and deviation of each channel from BatchNorm's sums: on the card, so that nothing waits for a number to come
// to the host.
template <typename Dtype>
__global__ void FrozenStatistics(const int channels, const Dtype* mean_sum, const Dtype* variance_sum,
    const Dtype* factor, const Dtype eps, Dtype* mean, Dtype* deviation) {
  CUDA_KERNEL_LOOP(c, channels) {
    const Dtype by = *factor == 0 ? 0 : 1 / *factor;
    mean[c] = by * mean_sum[c];
    deviation[c] = sqrt(by * variance_sum[c] + eps);
  }
}

// Forward and backward, so that a ReLU's zero is one in both.
template <typename Dtype>
__device__ inline Dtype FrozenScaled(Dtype x, Dtype gamma, Dtype beta) { return x * gamma + beta; }

template <typename Dtype, bool relu>
__global__ void FrozenForward(const int n, const Dtype* mean, const Dtype* deviation, const Dtype* gamma,
    const Dtype* beta, const int channels, const int inner, Dtype* data, Dtype* kept) {
  CUDA_KERNEL_LOOP(i, n) {
    const int c = (i / inner) % channels;
    const Dtype x = (data[i] - mean[c]) / deviation[c];
    kept[i] = x;
    const Dtype y = FrozenScaled(x, gamma[c], beta[c]);
    data[i] = relu && y < Dtype(0) ? Dtype(0) : y;  // NaN stays NaN
  }
}

const int kFrozenThreads = 256;

// Block (c, s): channel c of the images s, s + gridDim.y, …; its sums go to partial, which are added up in the same
// order every time. Where ReLU was 0 is worked out from kept: the output itself is not read.
template <typename Dtype, bool relu>
__global__ void FrozenBackward(const int num, const int channels, const int inner, const Dtype* deviation,
    const Dtype* gamma, const Dtype* beta, const Dtype* kept, Dtype* diff, Dtype* partial) {
  const int c = blockIdx.x;
  const Dtype scale = gamma[c], shift = beta[c], by = scale / deviation[c];
  Dtype gamma_sum = 0, beta_sum = 0;
  for (int n = blockIdx.y; n < num; n += gridDim.y) {
    const size_t plane = (size_t(n) * channels + c) * inner;
    for (int i = threadIdx.x; i < inner; i += kFrozenThreads) {
      const Dtype x = kept[plane + i];
      const Dtype g = relu && !(FrozenScaled(x, scale, shift) > 0) ? Dtype(0) : diff[plane + i];
      gamma_sum += g * x;
      beta_sum += g;
      diff[plane + i] = g * by;
    }
  }
  __shared__ Dtype sums[2][kFrozenThreads];
  sums[0][threadIdx.x] = gamma_sum;
  sums[1][threadIdx.x] = beta_sum;
  for (int half = kFrozenThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      sums[0][threadIdx.x] += sums[0][threadIdx.x + half];
      sums[1][threadIdx.x] += sums[1][threadIdx.x + half];
    }
  }
  if (threadIdx.x == 0) {
    partial[c * gridDim.y + blockIdx.y] = sums[0][0];
    partial[(channels + c) * gridDim.y + blockIdx.y] = sums[1][0];
  }
}

// sums += the parts of each channel.
template <typename Dtype>
__global__ void FrozenSums(const int channels, const int parts, const Dtype* partial, Dtype* sums) {
  CUDA_KERNEL_LOOP(c, channels) {
    Dtype sum = 0;
    for (int s = 0; s < parts; ++s) { sum += partial[c * parts + s]; }
    sums[c] += sum;
  }
}

// The input again, from what was kept.
template <typename Dtype>
__global__ void FrozenRestore(const int n, const Dtype* mean, const Dtype* deviation, const int channels,
    const int inner, const Dtype* kept, Dtype* data) {
  CUDA_KERNEL_LOOP(i, n) {
    const int c = (i / inner) % channels;
    data[i] = kept[i] * deviation[c] + mean[c];
  }
}

}  // namespace caffe
