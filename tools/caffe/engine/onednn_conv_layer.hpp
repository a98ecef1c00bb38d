#ifndef CAFFE_ENGINE_ONEDNN_CONV_LAYER_HPP_
#define CAFFE_ENGINE_ONEDNN_CONV_LAYER_HPP_

#include <map>
#include <utility>
#include <vector>

#include "caffe/layers/conv_layer.hpp"

namespace caffe {

// What a fused group does to a convolution's output, in the same pass: y = factor · conv + shift for each output
// channel, then max(y, 0). version is another number whenever factor or shift are others.
struct Epilogue {
  std::vector<float> factor, shift;
  bool relu = false;
  size_t version = 0;
};

// Convolution by oneDNN, as CuDNNConvolutionLayer is by cuDNN: the same parameters, blobs and caffemodels. The default
// in CPU mode for what Suits; everything else, and the GPU, is ConvolutionLayer's.
//
// With CAFFE_BF16=1 in the environment when the layer is made, on a processor that multiplies bfloat16: the factors of
// its products are rounded to that, in all three passes, and the sums stay float32, as all blobs do. Of layers whose
// channels fill vectors on both sides: not the first one, of three channels.
class OneDNNConvolutionLayer : public ConvolutionLayer<float> {
 public:
  explicit OneDNNConvolutionLayer(const LayerParameter& param);

  // Two spatial axes after the channels, one group, no dilation; CAFFE_ONEDNN is not 0 in the environment.
  static bool Suits(const LayerParameter& param);

  // Whether oneDNN computes these shapes; where not, the passes below are not to be called.
  bool Ready(const vector<Blob<float>*>& bottom, const vector<Blob<float>*>& top);

  // top = epilogue(conv(bottom)). No epilogue: the convolution with its bias.
  void ForwardWith(const Epilogue* epilogue, const vector<Blob<float>*>& bottom, const vector<Blob<float>*>& top);

  // From the gradient dy at the epilogue's output, ReLU already undone: bottom's, weights' and bias's gradients. With an
  // epilogue also, for each output channel, sum = Σ dy and product = Σ dy · z, z being the convolution's output.
  void BackwardWith(const Epilogue* epilogue, const vector<Blob<float>*>& top, const vector<bool>& propagate_down,
      const vector<Blob<float>*>& bottom, std::vector<float>* sum, std::vector<float>* product);

 protected:
  virtual void Forward_cpu(const vector<Blob<float>*>& bottom, const vector<Blob<float>*>& top);
  virtual void Backward_cpu(const vector<Blob<float>*>& top, const vector<bool>& propagate_down,
      const vector<Blob<float>*>& bottom);

 private:
  struct Pass;    // the primitives for one shape of the bottom
  struct Kept {   // weights in the order of a primitive, kept where they are used more than once
    std::pair<size_t, size_t> version;  // of the weights and of the epilogue
    std::vector<float> values;
  };
  const float* Weights(const void* wanted, const Epilogue* epilogue, int buffer, Kept* kept);

  const bool rounds_;  // factors to bfloat16
  std::map<vector<int>, shared_ptr<Pass> > passes_;
  shared_ptr<Pass> pass_;
  Kept forward_weights_, backward_weights_;
};

}  // namespace caffe

#endif  // CAFFE_ENGINE_ONEDNN_CONV_LAYER_HPP_
