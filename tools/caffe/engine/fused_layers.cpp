#include "engine/fused_layers.hpp"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "engine/elementwise.hpp"
#include "engine/frozen_norm.hpp"
#ifdef USE_ONEDNN
#include "engine/onednn_conv_layer.hpp"
#endif
#include "engine/sum_group.hpp"

namespace caffe {

template <typename Dtype>
bool FusedLayers<Dtype>::Forward() {
  for (int i = 0; i < layers_.size(); ++i) { layers_[i]->Reshape(bottoms_[i], tops_[i]); }
  fused_ = Compute();
  return fused_;
}

template <typename Dtype>
void FusedLayers<Dtype>::Separate() {
  Restore();
  for (int i = 0; i < layers_.size(); ++i) { layers_[i]->Forward(bottoms_[i], tops_[i]); }
  fused_ = false;
}

#ifdef USE_ONEDNN
// A convolution, with all that follows it, by oneDNN.
class ConvolutionGroup : public FusedLayers<float> {
 public:
  ConvolutionGroup(int first, const vector<shared_ptr<Layer<float> > >& layers, const vector<Blobs>& bottoms,
      const vector<Blobs>& tops)
      : FusedLayers<float>(first, layers, bottoms, tops),
        convolution_(dynamic_cast<OneDNNConvolutionLayer*>(layers[0].get())) {
    relu_ = strcmp(layers.back()->type(), "ReLU") == 0;
    // oneDNN's ReLU makes 0 of NaN. Features come from weights that were finite when they were kept; a training that
    // runs out of bounds is to be seen, so there ReLU is a pass of its own.
    epilogue_.relu = relu_ && layers[0]->layer_param().phase() == TEST;
    if (layers.size() > 2) { norm_.reset(new FrozenNorm<float>(layers[1], layers[2])); }
  }

  virtual void Backward(const vector<bool>& propagate_down) {
    if (relu_) {
      const shared_ptr<SyncedMemory>& data = tops_[0][0]->data(), & diff = tops_[0][0]->diff();
      const Layout layout = CommonLayout({data.get(), diff.get()});
      const float* y = Read<float>(data, layout);
      float* dy = Change<float>(diff, layout);
      ForPieces(tops_[0][0]->count(), [=](size_t at, size_t n) {
        loops::ReluGradient(n, 0.f, y + at, dy + at, dy + at);
      });
    }
    if (!norm_) {
      return convolution_->BackwardWith(&epilogue_, tops_[0], propagate_down, bottoms_[0], NULL, NULL);
    }
    const int channels = norm_->channels();
    vector<float> sum(channels), product(channels), mean, deviation;
    convolution_->BackwardWith(&epilogue_, tops_[0], propagate_down, bottoms_[0], &sum, &product);
    norm_->Statistics(&mean, &deviation);
    float* gamma = norm_->learns_gamma() ? norm_->gamma()->mutable_cpu_diff() : NULL;
    float* beta = norm_->learns_beta() ? norm_->beta()->mutable_cpu_diff() : NULL;
    for (int c = 0; c < channels; ++c) {
      if (gamma) { gamma[c] += (product[c] - mean[c] * sum[c]) / deviation[c]; }
      if (beta) { beta[c] += sum[c]; }
    }
  }

 protected:
  virtual bool Compute() {
    if (Caffe::mode() != Caffe::CPU || !convolution_->Ready(bottoms_[0], tops_[0])) { return false; }
    if (norm_) { Fold(); }
    convolution_->ForwardWith(&epilogue_, bottoms_[0], tops_[0]);
    if (relu_ && !epilogue_.relu) {
      const shared_ptr<SyncedMemory>& data = tops_[0][0]->data();
      float* y = Change<float>(data, CommonLayout({data.get()}));
      ForPieces(tops_[0][0]->count(), [=](size_t at, size_t n) { loops::Relu(n, 0.f, y + at, y + at); });
    }
    return true;
  }

 private:
  // y = γ · (z − μ) / σ + β as one factor and one shift.
  void Fold() {
    vector<size_t> versions;
    bool known = true;
    for (const shared_ptr<Blob<float> >& blob : {norm_->statistic(0), norm_->statistic(1), norm_->statistic(2),
                                                 norm_->gamma(), norm_->beta()}) {
      versions.push_back(blob->data()->version());
      known = known && !blob->data()->handed_out();  // Python may write at any time
    }
    if (known && versions == folded_) { return; }
    folded_ = versions;
    ++epilogue_.version;
    vector<float> mean, deviation;
    norm_->Statistics(&mean, &deviation);
    epilogue_.factor.resize(norm_->channels());
    epilogue_.shift.resize(norm_->channels());
    for (int c = 0; c < norm_->channels(); ++c) {
      epilogue_.factor[c] = norm_->gamma()->cpu_data()[c] / deviation[c];
      epilogue_.shift[c] = norm_->beta()->cpu_data()[c] - mean[c] * epilogue_.factor[c];
    }
  }

  OneDNNConvolutionLayer* convolution_;
  shared_ptr<FrozenNorm<float> > norm_;
  Epilogue epilogue_;
  bool relu_;
  vector<size_t> folded_;
};
#endif

// What makes groups, and where they end.
template <typename Dtype>
class Finder {
 public:
  typedef vector<vector<Blob<Dtype>*> > Vectors;
  Finder(const vector<shared_ptr<Layer<Dtype> > >& layers, const Vectors& bottoms, const Vectors& tops)
      : layers_(layers), bottoms_(bottoms), tops_(tops) {}

  vector<shared_ptr<FusedLayers<Dtype> > > All() {
    vector<shared_ptr<FusedLayers<Dtype> > > groups;
    for (int i = 0; i < layers_.size(); ++i) {
      if (Is(i, "Convolution") && tops_[i].size() == 1) { AddConvolution(i, &groups); }
      if (Is(i, "BatchNorm")) { AddNorm(i, &groups); }
      if (Is(i, "Eltwise")) { AddSum(i, &groups); }
    }
    return groups;
  }

 private:
  const LayerParameter& Param(int i) const { return layers_[i]->layer_param(); }
  bool Is(int i, const char* type) const {
    return i < layers_.size() && std::string(layers_[i]->type()) == type;
  }
  // One blob, and the layer writes its result over it.
  bool InPlace(int i, const Blob<Dtype>* blob) const {
    return bottoms_[i].size() == 1 && tops_[i].size() == 1 && bottoms_[i][0] == blob && tops_[i][0] == blob;
  }
  // The number of layers from i on, in place on this blob, that are a stored-statistics BatchNorm and its Scale: 2 or 0.
  int Norm(int i, const Blob<Dtype>* blob) const {
    if (!Is(i, "BatchNorm") || !Is(i + 1, "Scale") || !InPlace(i, blob) || !InPlace(i + 1, blob)) { return 0; }
    const BatchNormParameter& norm = Param(i).batch_norm_param();
    const bool stored = norm.has_use_global_stats() ? norm.use_global_stats() : Param(i).phase() == TEST;
    const ScaleParameter& scale = Param(i + 1).scale_param();
    return stored && blob->num_axes() >= 2 && scale.axis() == 1 && scale.num_axes() == 1 && scale.bias_term() ? 2 : 0;
  }
  int Relu(int i, const Blob<Dtype>* blob) const {
    return Is(i, "ReLU") && InPlace(i, blob) && Param(i).relu_param().negative_slope() == 0 ? 1 : 0;
  }
  // Whether a layer from i on writes over this blob: a group could not be computed again after it.
  bool WrittenFrom(int i, const Blob<Dtype>* blob) const {
    for (; i < layers_.size(); ++i) {
      for (const Blob<Dtype>* top : tops_[i]) {
        if (top == blob) { return true; }
      }
    }
    return false;
  }
  template <typename Group>
  void Add(int first, int count, vector<shared_ptr<FusedLayers<Dtype> > >* groups) {
    if (count < 2 || WrittenFrom(first + count, tops_[first][0])) { return; }
    groups->push_back(shared_ptr<FusedLayers<Dtype> >(new Group(first,
        vector<shared_ptr<Layer<Dtype> > >(layers_.begin() + first, layers_.begin() + first + count),
        Vectors(bottoms_.begin() + first, bottoms_.begin() + first + count),
        Vectors(tops_.begin() + first, tops_.begin() + first + count))));
  }
  void AddConvolution(int i, vector<shared_ptr<FusedLayers<Dtype> > >* groups);
  void AddNorm(int i, vector<shared_ptr<FusedLayers<Dtype> > >* groups) {
    const int norm = Norm(i, tops_[i][0]);
    if (norm) { Add<NormGroup<Dtype> >(i, norm + Relu(i + norm, tops_[i][0]), groups); }
  }
  void AddSum(int i, vector<shared_ptr<FusedLayers<Dtype> > >* groups) {
    const EltwiseParameter& param = Param(i).eltwise_param();
    if (param.operation() != EltwiseParameter_EltwiseOp_SUM || bottoms_[i].size() != 2) { return; }
    for (float coefficient : param.coeff()) {
      if (coefficient != 1) { return; }
    }
    for (const Blob<Dtype>* bottom : bottoms_[i]) {
      if (bottom == tops_[i][0]) { return; }
    }
    Add<SumGroup<Dtype> >(i, 1 + Relu(i + 1, tops_[i][0]), groups);
  }

  const vector<shared_ptr<Layer<Dtype> > >& layers_;
  const Vectors& bottoms_;
  const Vectors& tops_;
};

template <typename Dtype>
void Finder<Dtype>::AddConvolution(int, vector<shared_ptr<FusedLayers<Dtype> > >*) {}

#ifdef USE_ONEDNN
template <>
void Finder<float>::AddConvolution(int i, vector<shared_ptr<FusedLayers<float> > >* groups) {
  if (!dynamic_cast<OneDNNConvolutionLayer*>(layers_[i].get())) { return; }
  const int norm = Norm(i + 1, tops_[i][0]);
  Add<ConvolutionGroup>(i, 1 + norm + Relu(i + 1 + norm, tops_[i][0]), groups);
}
#endif

template <typename Dtype>
vector<shared_ptr<FusedLayers<Dtype> > > FusedLayers<Dtype>::Find(const vector<shared_ptr<Layer<Dtype> > >& layers,
    const vector<Blobs>& bottoms, const vector<Blobs>& tops) {
  const char* set = std::getenv("CAFFE_FUSE");
  if (set != NULL && std::string(set) == "0") { return vector<shared_ptr<FusedLayers> >(); }
  return Finder<Dtype>(layers, bottoms, tops).All();
}

template class FusedLayers<float>;
template class FusedLayers<double>;

}  // namespace caffe
