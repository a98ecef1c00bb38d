#ifndef CAFFE_ENGINE_SUM_GROUP_HPP_
#define CAFFE_ENGINE_SUM_GROUP_HPP_

#include <vector>

#include "engine/fused_layers.hpp"

namespace caffe {

// The sum of two blobs, rectified: where a residual block ends.
template <typename Dtype>
class SumGroup : public FusedLayers<Dtype> {
 public:
  SumGroup(int first, const vector<shared_ptr<Layer<Dtype> > >& layers, const vector<vector<Blob<Dtype>*> >& bottoms,
      const vector<vector<Blob<Dtype>*> >& tops) : FusedLayers<Dtype>(first, layers, bottoms, tops) {}
  virtual void Backward(const vector<bool>& propagate_down);

 protected:
  virtual bool Compute();

 private:
  void ForwardOnGpu();
  void BackwardOnGpu(const vector<bool>& propagate_down);
};

}  // namespace caffe

#endif  // CAFFE_ENGINE_SUM_GROUP_HPP_
