#ifndef CAFFE_ENGINE_ELEMENTWISE_HPP_
#define CAFFE_ENGINE_ELEMENTWISE_HPP_

#include <initializer_list>

#include "caffe/blob.hpp"
#include "engine/loops.hpp"

namespace caffe {

// The order in which a layer that treats all numbers alike takes these memories: that of the first blocked one, or plain
// where one has to stay so.
inline Layout CommonLayout(std::initializer_list<const SyncedMemory*> memories) {
  Layout layout;
  for (const SyncedMemory* one : memories) {
    if (one->handed_out()) { return Layout(); }
    if (layout.plain()) { layout = one->layout(); }
  }
  return layout;
}

template <typename Dtype>
const Dtype* Read(const shared_ptr<SyncedMemory>& memory, const Layout& layout) {
  return static_cast<const Dtype*>(memory->cpu_data_in(layout));
}

// For a pass that reads what it writes over.
template <typename Dtype>
Dtype* Change(const shared_ptr<SyncedMemory>& memory, const Layout& layout) {
  return static_cast<Dtype*>(memory->mutable_cpu_data_in(layout));
}

// For a pass that writes every number anew.
template <typename Dtype>
Dtype* Overwrite(const shared_ptr<SyncedMemory>& memory, const Layout& layout) {
  return static_cast<Dtype*>(memory->overwrite_cpu_data_in(layout));
}

}  // namespace caffe

#endif  // CAFFE_ENGINE_ELEMENTWISE_HPP_
