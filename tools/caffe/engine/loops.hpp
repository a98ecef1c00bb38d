#ifndef CAFFE_ENGINE_LOOPS_HPP_
#define CAFFE_ENGINE_LOOPS_HPP_

#include <algorithm>
#include <cstddef>

// Loops over many numbers, vectorised for the processor at hand and spread over all cores. The pieces into which a
// loop is cut depend on its length alone, so that a sum is the same whatever the number of threads.

namespace caffe {

const size_t kPiece = 1 << 14;  // floats; 64 KB of each operand

// work(first, count) for every piece of [0, n), on all cores.
template <typename Work>
void ForPieces(size_t n, const Work& work) {
  const long pieces = (n + kPiece - 1) / kPiece;  // NOLINT(runtime/int)
#pragma omp parallel for if (pieces > 1)
  for (long i = 0; i < pieces; ++i) {  // NOLINT(runtime/int)
    work(i * kPiece, std::min(kPiece, n - i * kPiece));
  }
}

namespace loops {

// For float and for double:
//   Relu           y = max(x, 0) + slope · min(x, 0)
//   ReluGradient   dx = dy where x > 0, else slope · dy
//   Add            y = a + b
//   AddRelu        y = max(a + b, 0)
//   Scale          y = factor · x
//   SumOfSquares   Σ x²
//   Update         momentum SGD with L2 decay in one pass (Caffe's ClipGradients, Normalize, Regularize,
//                  ComputeUpdateValue and Update): history = momentum · history + rate · (scale · diff + decay · data);
//                  diff = history; data -= history
#define DECLARE(Dtype)                                                                                     \
  void Relu(size_t n, Dtype slope, const Dtype* x, Dtype* y);                                              \
  void ReluGradient(size_t n, Dtype slope, const Dtype* x, const Dtype* dy, Dtype* dx);                    \
  void Add(size_t n, const Dtype* a, const Dtype* b, Dtype* y);                                            \
  void AddRelu(size_t n, const Dtype* a, const Dtype* b, Dtype* y);                                        \
  void Scale(size_t n, Dtype factor, const Dtype* x, Dtype* y);                                            \
  double SumOfSquares(size_t n, const Dtype* x);                                                           \
  void Update(size_t n, Dtype scale, Dtype decay, Dtype rate, Dtype momentum, Dtype* diff, Dtype* history, \
      Dtype* data);
DECLARE(float)
DECLARE(double)
#undef DECLARE

// Σ x · with, and y += factor · x in the same pass.
float AddScaledAndDot(size_t n, float factor, const float* x, const float* with, float* y);
float Dot(size_t n, const float* x, const float* with);

}  // namespace loops
}  // namespace caffe

#endif  // CAFFE_ENGINE_LOOPS_HPP_
