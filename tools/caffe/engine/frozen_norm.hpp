#ifndef CAFFE_ENGINE_FROZEN_NORM_HPP_
#define CAFFE_ENGINE_FROZEN_NORM_HPP_

#include <vector>

#include "engine/fused_layers.hpp"

namespace caffe {

// BatchNorm with stored statistics and the Scale after it: y = γ · (z − μ) / σ + β for each channel.
template <typename Dtype>
class FrozenNorm {
 public:
  FrozenNorm(const shared_ptr<Layer<Dtype> >& norm, const shared_ptr<Layer<Dtype> >& scale)
      : norm_(norm), scale_(scale) {}

  // μ and σ, from the sums and the factor that BatchNorm keeps.
  void Statistics(vector<Dtype>* mean, vector<Dtype>* deviation) const;
  int channels() const { return scale_->blobs()[0]->count(); }
  float epsilon() const { return norm_->layer_param().batch_norm_param().eps(); }
  const shared_ptr<Blob<Dtype> >& statistic(int i) const { return norm_->blobs()[i]; }
  const shared_ptr<Blob<Dtype> >& gamma() const { return scale_->blobs()[0]; }
  const shared_ptr<Blob<Dtype> >& beta() const { return scale_->blobs()[1]; }
  bool learns_gamma() const { return scale_->param_propagate_down(0); }
  bool learns_beta() const { return scale_->param_propagate_down(1); }

 private:
  shared_ptr<Layer<Dtype> > norm_, scale_;
};

// BatchNorm, Scale and ReLU, where the convolution before them is computed by itself.
template <typename Dtype>
class NormGroup : public FusedLayers<Dtype> {
 public:
  NormGroup(int first, const vector<shared_ptr<Layer<Dtype> > >& layers,
      const vector<vector<Blob<Dtype>*> >& bottoms, const vector<vector<Blob<Dtype>*> >& tops)
      : FusedLayers<Dtype>(first, layers, bottoms, tops), norm_(layers[0], layers[1]), relu_(layers.size() == 3) {}
  virtual void Backward(const vector<bool>& propagate_down);

 protected:
  virtual bool Compute();
  virtual void Restore();

 private:
  void ForwardOnGpu();
  void BackwardOnGpu();
  void RestoreOnGpu();

  FrozenNorm<Dtype> norm_;
  bool relu_;
  Blob<Dtype> kept_;  // (z − μ) / σ: for γ's gradient, and to find z again
  Blob<Dtype> mean_, deviation_, partial_;
};

}  // namespace caffe

#endif  // CAFFE_ENGINE_FROZEN_NORM_HPP_
