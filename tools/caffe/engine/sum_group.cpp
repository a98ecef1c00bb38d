#include "engine/sum_group.hpp"

#include <vector>

#include "engine/elementwise.hpp"

namespace caffe {

template <typename Dtype>
bool SumGroup<Dtype>::Compute() {
  if (Caffe::mode() == Caffe::GPU) {
    ForwardOnGpu();
    return true;
  }
  const shared_ptr<SyncedMemory>& first = this->bottoms_[0][0]->data(), & second = this->bottoms_[0][1]->data();
  Blob<Dtype>* top = this->tops_[0][0];
  const Layout layout = top->data()->handed_out() ? Layout() : CommonLayout({first.get(), second.get()});
  const Dtype* a = Read<Dtype>(first, layout);
  const Dtype* b = Read<Dtype>(second, layout);
  Dtype* y = Overwrite<Dtype>(top->data(), layout);
  ForPieces(top->count(), [=](size_t at, size_t n) { loops::AddRelu(n, a + at, b + at, y + at); });
  return true;
}

template <typename Dtype>
void SumGroup<Dtype>::Backward(const vector<bool>& propagate_down) {
  if (Caffe::mode() == Caffe::GPU) { return BackwardOnGpu(propagate_down); }
  Blob<Dtype>* top = this->tops_[0][0];
  for (int i = 0; i < 2; ++i) {
    if (!propagate_down[i]) { continue; }
    const shared_ptr<SyncedMemory>& to = this->bottoms_[0][i]->diff();
    const Layout layout = CommonLayout({top->data().get(), top->diff().get(), to.get()});
    const Dtype* y = Read<Dtype>(top->data(), layout);
    const Dtype* dy = Read<Dtype>(top->diff(), layout);
    Dtype* dx = Overwrite<Dtype>(to, layout);
    ForPieces(top->count(), [=](size_t at, size_t n) {
      loops::ReluGradient(n, Dtype(0), y + at, dy + at, dx + at);
    });
  }
}

#ifdef CPU_ONLY
template <typename Dtype> void SumGroup<Dtype>::ForwardOnGpu() { NO_GPU; }
template <typename Dtype> void SumGroup<Dtype>::BackwardOnGpu(const vector<bool>&) { NO_GPU; }
#endif

template class SumGroup<float>;
template class SumGroup<double>;

}  // namespace caffe
