#include "engine/loops.hpp"

// One copy of a loop for each kind of vector unit; the processor's is chosen when the library is loaded.
#if defined(__x86_64__)
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3"), noinline))
#else
#define VECTORISED __attribute__((optimize("O3"), noinline))
#endif

namespace caffe {
namespace loops {

// Each loop is written once, for float and for double: target_clones does not go with templates.
#define LOOP(Dtype)                                                                                         \
  VECTORISED void Relu(size_t n, Dtype slope, const Dtype* x, Dtype* y) {                                   \
    for (size_t i = 0; i < n; ++i) { y[i] = x[i] > 0 ? x[i] : slope * x[i]; }                               \
  }                                                                                                         \
  VECTORISED void ReluGradient(size_t n, Dtype slope, const Dtype* x, const Dtype* dy, Dtype* dx) {         \
    for (size_t i = 0; i < n; ++i) { dx[i] = x[i] > 0 ? dy[i] : slope * dy[i]; }                            \
  }                                                                                                         \
  VECTORISED void Add(size_t n, const Dtype* a, const Dtype* b, Dtype* y) {                                 \
    for (size_t i = 0; i < n; ++i) { y[i] = a[i] + b[i]; }                                                  \
  }                                                                                                         \
  VECTORISED void AddRelu(size_t n, const Dtype* a, const Dtype* b, Dtype* y) {                             \
    for (size_t i = 0; i < n; ++i) {                                                                        \
      const Dtype sum = a[i] + b[i];                                                                        \
      y[i] = sum > 0 ? sum : 0 * sum;  /* NaN stays NaN */                                                  \
    }                                                                                                       \
  }                                                                                                         \
  VECTORISED void Scale(size_t n, Dtype factor, const Dtype* x, Dtype* y) {                                 \
    for (size_t i = 0; i < n; ++i) { y[i] = factor * x[i]; }                                                \
  }                                                                                                         \
  VECTORISED double SumOfSquares(size_t n, const Dtype* x) {                                                \
    double sums[8] = {0};                                                                                   \
    size_t i = 0;                                                                                           \
    for (; i + 8 <= n; i += 8) {                                                                            \
      for (int lane = 0; lane < 8; ++lane) { sums[lane] += double(x[i + lane]) * x[i + lane]; }             \
    }                                                                                                       \
    double sum = 0;                                                                                         \
    for (; i < n; ++i) { sum += double(x[i]) * x[i]; }                                                      \
    for (int lane = 0; lane < 8; ++lane) { sum += sums[lane]; }                                             \
    return sum;                                                                                             \
  }                                                                                                         \
  VECTORISED void Update(size_t n, Dtype scale, Dtype decay, Dtype rate, Dtype momentum, Dtype* diff,       \
      Dtype* history, Dtype* data) {                                                                        \
    for (size_t i = 0; i < n; ++i) {                                                                        \
      const Dtype step = momentum * history[i] + rate * (scale * diff[i] + decay * data[i]);                \
      history[i] = step;                                                                                    \
      diff[i] = step;                                                                                       \
      data[i] -= step;                                                                                      \
    }                                                                                                       \
  }
LOOP(float)
LOOP(double)
#undef LOOP

VECTORISED float AddScaledAndDot(size_t n, float factor, const float* x, const float* with, float* y) {
  const int kLanes = 16;
  float sums[kLanes] = {0};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      sums[lane] += x[i + lane] * with[i + lane];
      y[i + lane] += factor * x[i + lane];
    }
  }
  double sum = 0;
  for (; i < n; ++i) {
    sum += x[i] * with[i];
    y[i] += factor * x[i];
  }
  for (int lane = 0; lane < kLanes; ++lane) { sum += sums[lane]; }
  return static_cast<float>(sum);
}

VECTORISED float Dot(size_t n, const float* x, const float* with) {
  const int kLanes = 16;
  float sums[kLanes] = {0};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) { sums[lane] += x[i + lane] * with[i + lane]; }
  }
  double sum = 0;
  for (; i < n; ++i) { sum += x[i] * with[i]; }
  for (int lane = 0; lane < kLanes; ++lane) { sum += sums[lane]; }
  return static_cast<float>(sum);
}

}  // namespace loops
}  // namespace caffe
