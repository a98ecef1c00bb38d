#ifndef CAFFE_ENGINE_UPDATE_ON_GPU_HPP_
#define CAFFE_ENGINE_UPDATE_ON_GPU_HPP_

#include <vector>

#include "caffe/blob.hpp"

namespace caffe {

// Σ g² over the gradients of the parameters whose rate is not 0. sums: room for sums of pieces, which come to the host in
// one copy and are added up in the same order every time.
template <typename Dtype>
double SumOfSquaresOnGpu(const vector<Blob<Dtype>*>& params, const vector<float>& rates, Blob<double>* sums);

// loops::Update (loops.hpp) on a GPU.
template <typename Dtype>
void UpdateOnGpu(int n, Dtype scale, Dtype decay, Dtype rate, Dtype momentum, Dtype* diff, Dtype* history, Dtype* data);

}  // namespace caffe

#endif  // CAFFE_ENGINE_UPDATE_ON_GPU_HPP_
