"""The CUDA kernels of fused layers and of the update, compiled for the CPU, against float64.

They are compiled word for word: a block's threads are threads, __syncthreads is a barrier. What this cannot
show is a card's own arithmetic: tests/test_gpu.py.
"""
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not shutil.which("g++"),
                                reason="a compiler is missing, as in the Docker images")

ENGINE = Path(__file__).resolve().parents[1] / "tools/caffe/engine"
KERNELS = [ENGINE / f"{name}_kernels.cuh" for name in ("frozen_norm", "sum", "update")]

CARD = r"""
#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>
using std::sqrt;
struct dim3 { int x, y; dim3(int x = 1, int y = 1) : x(x), y(y) {} };
thread_local dim3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
std::barrier<>* threads;
#define __global__
#define __device__
#define __shared__ static
#define __syncthreads() threads->arrive_and_wait()
#define CUDA_KERNEL_LOOP(i, n) \
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += blockDim.x * gridDim.x)

template <class Kernel> void launch(dim3 grid, int count, Kernel kernel) {
  gridDim = grid;
  blockDim = dim3(count);
  std::barrier<> barrier(count);
  threads = &barrier;
  std::vector<std::thread> block;
  for (int i = 0; i < count; ++i) block.emplace_back([=] {
    threadIdx = dim3(i, 0);
    for (int y = 0; y < grid.y; ++y) for (int x = 0; x < grid.x; ++x) {
      blockIdx = dim3(x, y);
      kernel();
      threads->arrive_and_wait();
    }
  });
  for (auto& one : block) one.join();
}

float uniform() { return rand() / float(RAND_MAX) - .5f; }
"""
AGAINST_DOUBLES = r"""
template <bool relu> double worst(int N, int C, int I) {
  const int n = N * C * I, parts = std::min(N, 3);
  std::vector<float> x(n), kept(n, NAN), dy(n), mean_sum(C), variance_sum(C), factor(1, 3.f), mean(C, NAN),
      deviation(C, NAN), gamma(C), beta(C), gamma_diff(C, .5f), beta_diff(C, .25f),
      partial(2 * C * parts, NAN), back(n, NAN);
  for (auto& v : x) v = uniform();
  for (auto& v : dy) v = uniform();
  for (int c = 0; c < C; ++c) {
    mean_sum[c] = uniform(); variance_sum[c] = 1 + uniform(); gamma[c] = uniform(); beta[c] = uniform();
  }
  const auto x0 = x, dy0 = dy;
  launch(dim3(1), 32, [&] { FrozenStatistics<float>(C, mean_sum.data(), variance_sum.data(), factor.data(),
      1e-5f, mean.data(), deviation.data()); });
  launch(dim3(3), 64, [&] { FrozenForward<float, relu>(n, mean.data(), deviation.data(), gamma.data(),
      beta.data(), C, I, x.data(), kept.data()); });
  launch(dim3(3), 64, [&] { FrozenRestore<float>(n, mean.data(), deviation.data(), C, I, kept.data(),
      back.data()); });
  launch(dim3(C, parts), kFrozenThreads, [&] { FrozenBackward<float, relu>(N, C, I, deviation.data(),
      gamma.data(), beta.data(), kept.data(), dy.data(), partial.data()); });
  launch(dim3(1), 32, [&] { FrozenSums<float>(C, parts, partial.data(), gamma_diff.data()); });
  launch(dim3(1), 32, [&] { FrozenSums<float>(C, parts, partial.data() + C * parts, beta_diff.data()); });
  std::vector<double> gamma_sum(C, .5), beta_sum(C, .25);
  double apart = 0;
  for (int i = 0; i < n; ++i) {
    const int c = i / I % C;
    const double d = sqrt(variance_sum[c] / 3. + 1e-5), h = (x0[i] - mean_sum[c] / 3.) / d;
    const double y = h * gamma[c] + beta[c];
    const double g = relu && x[i] <= 0 ? 0 : dy0[i];      // beside zero either side is right
    gamma_sum[c] += g * h;
    beta_sum[c] += g;
    for (double difference : {x[i] - (relu && y < 0 ? 0 : y), kept[i] - h, dy[i] - g * gamma[c] / d,
                              double(back[i]) - x0[i]})
      apart = std::isfinite(difference) ? std::max(apart, fabs(difference)) : INFINITY;
  }
  for (int c = 0; c < C; ++c)      // sums of hundreds
    apart = std::max({apart, fabs(gamma_sum[c] - gamma_diff[c]) / 10, fabs(beta_sum[c] - beta_diff[c]) / 10});
  return apart;
}

// A sum of two, rectified, and its gradient: of both, and of either alone. A NaN is seen in what follows.
double sum(int n) {
  std::vector<float> a(n), b(n), dy(n), y(n, NAN), left(n, NAN), right(n, NAN), alone(n, NAN);
  for (auto* numbers : {&a, &b, &dy}) for (auto& v : *numbers) v = uniform();
  launch(dim3(3), 64, [&] { SumForward<float>(n, a.data(), b.data(), y.data()); });
  launch(dim3(3), 64, [&] { SumBackward<float>(n, y.data(), dy.data(), left.data(), right.data()); });
  launch(dim3(2), 32, [&] { SumBackward<float>(n, y.data(), dy.data(), NULL, alone.data()); });
  double apart = 0;
  for (int i = 0; i < n; ++i) {
    const double s = double(a[i]) + b[i], g = s > 0 ? dy[i] : 0;
    for (double difference : {y[i] - (s > 0 ? s : 0), left[i] - g, right[i] - g, alone[i] - g})
      apart = std::isfinite(difference) ? std::max(apart, fabs(difference)) : INFINITY;
  }
  a[0] = NAN;
  launch(dim3(1), 1, [&] { SumForward<float>(1, a.data(), b.data(), y.data()); });
  return std::isnan(y[0]) ? apart : INFINITY;
}

// The sum of squares relative to its size; what an update changes, relative to 1.
double update(int n, int blocks) {
  std::vector<float> diff(n), history(n), data(n);
  for (auto* numbers : {&diff, &history, &data}) for (auto& v : *numbers) v = uniform();
  const auto diff0 = diff, history0 = history, data0 = data;
  std::vector<double> sums(blocks, NAN);
  launch(dim3(blocks), kSumThreads, [&] { SumOfSquares<float>(n, diff.data(), sums.data()); });
  double sum = 0, expected = 0;
  for (double one : sums) sum += one;
  for (float v : diff) expected += double(v) * v;
  const float scale = .3f, decay = .01f, rate = .7f, momentum = .9f;
  launch(dim3(3), 64, [&] { Update<float>(n, scale, decay, rate, momentum, diff.data(), history.data(),
      data.data()); });
  double apart = fabs(sum / expected - 1);
  for (int i = 0; i < n; ++i) {
    const double g = scale * double(diff0[i]) + decay * double(data0[i]);
    const double step = momentum * double(history0[i]) + rate * g;
    for (double difference : {history[i] - step, diff[i] - step, data[i] - (data0[i] - step)})
      apart = std::isfinite(difference) ? std::max(apart, fabs(difference)) : INFINITY;
  }
  return apart;
}
"""
SOME = ["update(1000, 3)", "worst<true>(5, 3, 49)", "sum(1000)"]
ALL = [*SOME, "update(1, 1)", "update(5000, 2)", "worst<false>(1, 7, 700)", "worst<true>(4, 2, 1)",
       "worst<false>(2, 5, 300)"]
WRONG = (("FrozenScaled(x, scale, shift) > 0", "x > 0"), ("gamma_sum += g * x", "gamma_sum += x"),
         ("momentum * history[i]", "history[i]"), ("sum[i] > Dtype(0)", "sum[i] >= Dtype(0)"))


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """How far the kernels' results are from float64's: as they are, and with each of WRONG. Compiled once."""
    folder, text = tmp_path_factory.mktemp("kernels"), "".join(file.read_text() for file in KERNELS)
    variants = [text]
    for right, wrong in WRONG:
        assert text.count(right) == 1
        variants.append(text.replace(right, wrong))
    text = CARD
    for number, variant in enumerate(variants):
        text += f"namespace v{number} {{\n{variant}\nusing namespace caffe;\n{AGAINST_DOUBLES}\n}}\n"
    tell = "".join(f'printf("%.1e ", v{number}::{one});' for number in range(len(variants))
                   for one in (SOME if number else ALL))
    (folder / "shim.cpp").write_text(f"{text}int main() {{ {tell} }}\n")
    subprocess.run(["g++", "-std=c++20", "-pthread", "-w", "shim.cpp", "-o", "shim"], cwd=folder, check=True)
    ended = subprocess.run([folder / "shim"], capture_output=True, text=True, timeout=100, check=True)
    found = list(map(float, ended.stdout.split()))
    return found[:len(ALL)], *np.reshape(found[len(ALL):], (len(WRONG), len(SOME)))


def test_the_kernels_are_right(apart):
    assert max(apart[0]) < 1e-6


@pytest.mark.parametrize("which", range(len(WRONG)))
def test_a_wrong_kernel_is_found(apart, which):
    assert max(apart[1 + which]) > 1e-3
