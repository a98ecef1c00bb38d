#ifndef CAFFE_ENGINE_FUSED_LAYERS_HPP_
#define CAFFE_ENGINE_FUSED_LAYERS_HPP_

#include <vector>

#include "caffe/layer.hpp"

namespace caffe {

// Neighbouring layers of a net that are computed in fewer passes than one after the other, with the same result up to
// rounding. The net's description, its blobs and its parameters know nothing of it:
//
//   Convolution, BatchNorm with stored statistics, Scale, ReLU   one convolution by oneDNN (CPU)
//   BatchNorm with stored statistics, Scale, ReLU                one pass each way (CPU and GPU)
//   Eltwise that sums two blobs, ReLU                            one pass each way (CPU and GPU)
//
// BatchNorm and Scale come together or not at all, and ReLU may be missing except after Eltwise; all but the first
// layer work in place. A net uses a group only where nothing asks for what is between its layers: not for a range
// that ends inside, not with callbacks, not with debug_info. What an in-place blob's diff holds after the backward
// pass differs: the gradient where the group begins to go back, not where it ends. CAFFE_FUSE=0: no groups.
template <typename Dtype>
class FusedLayers {
 public:
  typedef vector<Blob<Dtype>*> Blobs;

  // All groups of a net, in the order of their first layers, larger ones first.
  static vector<shared_ptr<FusedLayers> > Find(const vector<shared_ptr<Layer<Dtype> > >& layers,
      const vector<Blobs>& bottoms, const vector<Blobs>& tops);

  virtual ~FusedLayers() {}
  int first() const { return first_; }
  int last() const { return last_; }

  // False, and nothing is done, where this group does not compute these shapes or not in this mode.
  bool Forward();
  // Only after a Forward that was not undone by Separate.
  virtual void Backward(const vector<bool>& propagate_down) = 0;
  // Computes forward again, layer by layer, so that each of them can go backward by itself.
  void Separate();

  // Whether the last forward pass went through this group as one.
  bool fused() const { return fused_; }
  void set_fused(bool fused) { fused_ = fused; }

 protected:
  FusedLayers(int first, const vector<shared_ptr<Layer<Dtype> > >& layers, const vector<Blobs>& bottoms,
      const vector<Blobs>& tops)
      : layers_(layers), bottoms_(bottoms), tops_(tops), first_(first), last_(first + layers.size() - 1) {}
  virtual bool Compute() = 0;
  // Gives the first layer back what it read, where that was overwritten.
  virtual void Restore() {}

  vector<shared_ptr<Layer<Dtype> > > layers_;  // the group's
  vector<Blobs> bottoms_, tops_;               // of each of them

 private:
  int first_, last_;
  bool fused_ = false;
  DISABLE_COPY_AND_ASSIGN(FusedLayers);
};

}  // namespace caffe

#endif  // CAFFE_ENGINE_FUSED_LAYERS_HPP_
