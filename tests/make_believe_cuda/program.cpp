// Caffe's own host code for a GPU, word for word, on a card of make-believe; tests/test_make_believe_cuda.py says what each
// word on the command line lets happen and what has to be printed.
#include <cstdio>
#include <cstring>
#include <string>

#include "cuda.h"
#include "caffe_stub.hpp"
#include "caffe/layers/cudnn_conv_layer.hpp"

namespace caffe {
template <typename Dtype> void CuDNNConvolutionLayer<Dtype>::Forward_gpu(
    const vector<Blob<Dtype>*>&, const vector<Blob<Dtype>*>&) {}
template <typename Dtype> void CuDNNConvolutionLayer<Dtype>::Backward_gpu(
    const vector<Blob<Dtype>*>&, const vector<bool>&, const vector<Blob<Dtype>*>&) {}
}  // namespace caffe

#include "common.cpp"
#include "layers/cudnn_conv_layer.cpp"
#include "util/cudnn.cpp"

using caffe::Blob;
using caffe::Caffe;
using std::string;
using std::vector;

Card card;

template <typename Dtype>
struct Layer : public caffe::CuDNNConvolutionLayer<Dtype> {
  Blob<Dtype> bottom{{2, 8, 5, 5}}, top{{2, 8, 5, 5}};
  vector<Blob<Dtype>*> bottoms{&bottom}, tops{&top};

  explicit Layer(int groups = 1) : caffe::CuDNNConvolutionLayer<Dtype>(caffe::LayerParameter()) {
    this->group_ = groups;
    this->LayerSetUp(bottoms, tops);
    this->Reshape(bottoms, tops);
  }
  // Each pass: algorithm, math, workspace; then where the groups' workspaces begin, and the sum.
  void print() {
    printf("%d/%d/%zu %d/%d/%zu %d/%d/%zu |", this->fwd_algo_[0], this->conv_descs_[0]->math,
           this->workspace_fwd_sizes_[0], this->bwd_filter_algo_[0], this->conv_descs_[1]->math,
           this->workspace_bwd_filter_sizes_[0], this->bwd_data_algo_[0], this->conv_descs_[2]->math,
           this->workspace_bwd_data_sizes_[0]);
    for (int i = 0; i < 3 * this->group_; ++i) { printf(" %zu", this->workspace_offset_[i]); }
    printf(" | %zu\n", this->workspaceSizeInBytes);
  }
};

int main(int count, char** words) {
  const string what = words[1];
  const size_t MB = 1 << 20;
  if (what == "exit") {  // the process ends after the driver
    Caffe::cublas_handle();
    Caffe::curand_generator();
    Caffe::set_random_seed(7);
    printf("%d\n", card.generator == CURAND_RNG_PSEUDO_PHILOX4_32_10);
    card.gone = true;
  } else if (what == "products") {
    for (int terms : {1, 2, 4096}) { printf("%d ", caffe::product_type(terms) == CUBLAS_COMPUTE_32F_FAST_TF32); }
    puts("");
  } else if (what == "index") {  // the last one of so many elements, and what follows it
    for (int n : {1000, (1 << 30) + 5, 0x7fffffff}) {
      const unsigned blocks = caffe::CAFFE_GET_BLOCKS(n), threads = caffe::CAFFE_CUDA_NUM_THREADS;
      struct { unsigned x; } blockIdx{blocks - 1}, blockDim{threads}, gridDim{blocks}, threadIdx{(n - 1) % threads};
      int rounds = 0, last = -1;
      CUDA_KERNEL_LOOP(i, n) {
        last = i;
        if (i < 0 || ++rounds > 2) { break; }
      }
      threadIdx.x = threads - 1;  // past the end in this block
      int beyond = 0;
      CUDA_KERNEL_LOOP(i, n) { ++beyond; }
      printf("%d:%d:%d:%d ", last == n - 1, rounds, beyond, blocks * size_t(threads) >= size_t(n));
    }
    puts("");
  } else if (what == "full") {  // room for the slower algorithms only
    card.memory = 10 * MB;
    const Listed large = {1, CUDNN_DEFAULT_MATH, CUDNN_DETERMINISTIC, 9 * MB, 9 * MB},
        small = {2, CUDNN_DEFAULT_MATH, CUDNN_DETERMINISTIC, 2 * MB, 2 * MB};
    for (vector<Listed>& list : card.lists) { list = {small}; }
    Layer<float>().print();
    for (vector<Listed>& list : card.lists) { list = {large, small}; }
    Layer<float>().print();
    printf("%zu\n", card.taken);
  } else {
    // By time. The last two numbers: the workspace with the algorithm's own math, and with another.
    const Listed fast = {7, CUDNN_DEFAULT_MATH, CUDNN_NON_DETERMINISTIC, 1000, 5000},
        steady = {1, CUDNN_TENSOR_OP_MATH, CUDNN_DETERMINISTIC, 2000, 6000},
        large = {4, CUDNN_DEFAULT_MATH, CUDNN_DETERMINISTIC, 5 * MB, 5 * MB};
    card.lists[FORWARD] = {fast, large, steady};
    card.lists[FILTER] = {fast, {2, CUDNN_FMA_MATH, CUDNN_DETERMINISTIC, 300, 400}, steady};
    card.lists[DATA] = {{3, CUDNN_DEFAULT_MATH, CUDNN_DETERMINISTIC, 700, 900}};
    if (what == "exact") {
      for (vector<Listed>& list : card.lists) { list.push_back({5, CUDNN_FMA_MATH, CUDNN_DETERMINISTIC, 100, 100}); }
    }
    const int layers = count > 2 ? atoi(words[2]) : 1, groups = count > 3 ? atoi(words[3]) : 1;
    if (what == "double") {
      Layer<double>(groups).print();
    } else {
      vector<boost::shared_ptr<Layer<float> > > all;
      for (int i = 0; i < layers; ++i) { all.emplace_back(new Layer<float>(groups)); }
      all.back()->print();
    }
    printf("%d %d %zu\n", card.handles, card.streams, card.taken);
  }
  fflush(stdout);
  return 0;
}
