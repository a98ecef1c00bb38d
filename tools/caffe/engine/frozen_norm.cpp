#include "engine/frozen_norm.hpp"

#include <cmath>
#include <vector>

namespace caffe {

template <typename Dtype>
void FrozenNorm<Dtype>::Statistics(vector<Dtype>* mean, vector<Dtype>* deviation) const {
  const Dtype factor = statistic(2)->cpu_data()[0], by = factor == 0 ? 0 : 1 / factor;
  mean->resize(channels());
  deviation->resize(channels());
  for (int c = 0; c < channels(); ++c) {
    (*mean)[c] = by * statistic(0)->cpu_data()[c];
    (*deviation)[c] = std::sqrt(by * statistic(1)->cpu_data()[c] + Dtype(epsilon()));
  }
}

template class FrozenNorm<float>;
template class FrozenNorm<double>;

// One plane of one channel, in place. The same roundings as the layers one after the other.
template <typename Dtype>
__attribute__((optimize("O3"), noinline))
static void Plane(int n, bool relu, Dtype mean, Dtype deviation, Dtype gamma, Dtype beta, Dtype* __restrict__ data,
    Dtype* __restrict__ kept) {
  for (int i = 0; i < n; ++i) {
    const Dtype x = (data[i] - mean) / deviation;
    kept[i] = x;
    const Dtype scaled = x * gamma, y = scaled + beta;
    data[i] = relu && y < 0 ? Dtype(0) : y;  // NaN stays NaN
  }
}

template <typename Dtype>
__attribute__((optimize("O3"), noinline))
static void PlaneGradient(int n, bool relu, Dtype deviation, Dtype gamma, const Dtype* __restrict__ data,
    const Dtype* __restrict__ kept, Dtype* __restrict__ diff, Dtype* gamma_sum, Dtype* beta_sum) {
  Dtype gammas = 0, betas = 0;
  for (int i = 0; i < n; ++i) {
    const Dtype g = relu && !(data[i] > 0) ? Dtype(0) : diff[i];
    gammas += g * kept[i];
    betas += g;
    diff[i] = g * gamma / deviation;
  }
  *gamma_sum += gammas;
  *beta_sum += betas;
}

template <typename Dtype>
bool NormGroup<Dtype>::Compute() {
  Blob<Dtype>* blob = this->tops_[0][0];
  kept_.ReshapeLike(*blob);
  if (Caffe::mode() == Caffe::GPU) {
    ForwardOnGpu();
    return true;
  }
  vector<Dtype> mean, deviation;
  norm_.Statistics(&mean, &deviation);
  const int channels = norm_.channels(), inner = blob->count(2), num = blob->shape(0);
  const Dtype *gamma = norm_.gamma()->cpu_data(), *beta = norm_.beta()->cpu_data();
  Dtype *data = blob->mutable_cpu_data(), *kept = kept_.mutable_cpu_data();
#pragma omp parallel for
  for (int c = 0; c < channels; ++c) {
    for (int n = 0; n < num; ++n) {
      const size_t at = (size_t(n) * channels + c) * inner;
      Plane(inner, relu_, mean[c], deviation[c], gamma[c], beta[c], data + at, kept + at);
    }
  }
  return true;
}

template <typename Dtype>
void NormGroup<Dtype>::Backward(const vector<bool>&) {
  if (Caffe::mode() == Caffe::GPU) { return BackwardOnGpu(); }
  Blob<Dtype>* blob = this->tops_[0][0];
  vector<Dtype> mean, deviation;
  norm_.Statistics(&mean, &deviation);
  const int channels = norm_.channels(), inner = blob->count(2), num = blob->shape(0);
  const Dtype *gamma = norm_.gamma()->cpu_data(), *data = blob->cpu_data(), *kept = kept_.cpu_data();
  Dtype* diff = blob->mutable_cpu_diff();
  Dtype* gamma_diff = norm_.learns_gamma() ? norm_.gamma()->mutable_cpu_diff() : NULL;
  Dtype* beta_diff = norm_.learns_beta() ? norm_.beta()->mutable_cpu_diff() : NULL;
#pragma omp parallel for
  for (int c = 0; c < channels; ++c) {
    Dtype gamma_sum = 0, beta_sum = 0;
    for (int n = 0; n < num; ++n) {
      const size_t at = (size_t(n) * channels + c) * inner;
      PlaneGradient(inner, relu_, deviation[c], gamma[c], data + at, kept + at, diff + at, &gamma_sum, &beta_sum);
    }
    if (gamma_diff) { gamma_diff[c] += gamma_sum; }
    if (beta_diff) { beta_diff[c] += beta_sum; }
  }
}

template <typename Dtype>
void NormGroup<Dtype>::Restore() {
  if (Caffe::mode() == Caffe::GPU) { return RestoreOnGpu(); }
  Blob<Dtype>* blob = this->tops_[0][0];
  vector<Dtype> mean, deviation;
  norm_.Statistics(&mean, &deviation);
  const int channels = norm_.channels(), inner = blob->count(2);
  const Dtype* kept = kept_.cpu_data();
  Dtype* data = blob->mutable_cpu_data();
  for (int i = 0; i < blob->count(); ++i) {
    const int c = i / inner % channels;
    data[i] = kept[i] * deviation[c] + mean[c];
  }
}

#ifdef CPU_ONLY
template <typename Dtype> void NormGroup<Dtype>::ForwardOnGpu() { NO_GPU; }
template <typename Dtype> void NormGroup<Dtype>::BackwardOnGpu() { NO_GPU; }
template <typename Dtype> void NormGroup<Dtype>::RestoreOnGpu() { NO_GPU; }
#endif

template class NormGroup<float>;
template class NormGroup<double>;

}  // namespace caffe
