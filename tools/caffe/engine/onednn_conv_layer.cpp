#include "engine/onednn_conv_layer.hpp"

#include <algorithm>
#include <cstdlib>
#include <dnnl.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/loops.hpp"

namespace caffe {

using dnnl::memory;
typedef memory::format_tag Tag;

static dnnl::engine& Cpu() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

static dnnl::stream& Stream() {
  static thread_local dnnl::stream stream(Cpu());
  return stream;
}

// Memory that all layers of a thread take turns with: reordered copies that nothing keeps.
enum { kWeights, kScaledWeights, kSource, kDestination, kRoundedSource, kRoundedDestination, kBuffers };
static float* Buffer(int number, size_t bytes) {
  static thread_local struct Held {
    float* data[kBuffers] = {NULL};
    size_t size[kBuffers] = {0};
    ~Held() { for (float* one : data) { free(one); } }
  } held;
  if (held.size[number] < bytes) {
    free(held.data[number]);
    CHECK_EQ(posix_memalign(reinterpret_cast<void**>(&held.data[number]), 64, bytes), 0) << "no memory: " << bytes;
    held.size[number] = bytes;
  }
  return held.data[number];
}

// Whether factors are to be rounded to bfloat16, and can be.
static bool Rounds() {
  const char* set = std::getenv("CAFFE_BF16");
  if (set == NULL || std::string(set) == "0") { return false; }
  CHECK_EQ(std::string(set), "1") << "CAFFE_BF16=" << set << " is neither 0 nor 1";
  const int isa = static_cast<int>(dnnl::get_effective_cpu_isa());
  const int wanted = static_cast<int>(dnnl::cpu_isa::avx512_core_bf16);
  return (isa & wanted) == wanted;
}

static memory Wrap(const memory::desc& desc, const void* data) {
  return memory(desc, Cpu(), const_cast<void*>(data));
}

static void ReorderTo(memory from, memory to) {
  dnnl::reorder(from, to).execute(Stream(), from, to);
}

bool OneDNNConvolutionLayer::Suits(const LayerParameter& layer) {
  const char* set = std::getenv("CAFFE_ONEDNN");
  if (set != NULL && std::string(set) == "0") { return false; }
  const ConvolutionParameter& param = layer.convolution_param();
  for (int i = 0; i < param.dilation_size(); ++i) {
    if (param.dilation(i) != 1) { return false; }
  }
  return Lanes() > 0 && param.group() == 1 && param.axis() == 1 && !param.force_nd_im2col();
}

OneDNNConvolutionLayer::OneDNNConvolutionLayer(const LayerParameter& param)
    : ConvolutionLayer<float>(param), rounds_(Rounds()) {}

// A blob's values or gradients as a primitive sees them: in place where the blob may hold that order, else in a buffer.
struct View {
  Layout layout;       // of the blob's memory; blocked only if desc is the same order
  memory::desc plain;  // Caffe's own order
  memory::desc desc;   // the primitive's

  bool in_place(const shared_ptr<SyncedMemory>& blob) const {
    return plain == desc || (!layout.plain() && !blob->handed_out());
  }
  // desc, or the same order in another type; only the latter of blobs that are blocked.
  memory::desc As(memory::data_type type) const {
    if (type == memory::data_type::f32) { return desc; }
    return memory::desc(desc.dims(), type, Tag::nChw16c);
  }
  Layout order() const { return plain == desc ? Layout() : layout; }

  const float* Read(const shared_ptr<SyncedMemory>& blob, int buffer) const {
    if (in_place(blob)) { return static_cast<const float*>(blob->cpu_data_in(order())); }
    float* copy = Buffer(buffer, desc.get_size());
    ReorderTo(Wrap(plain, blob->cpu_data()), Wrap(desc, copy));
    return copy;
  }
  // Where a primitive writes; Written is to be called after it.
  float* Write(const shared_ptr<SyncedMemory>& blob, int buffer) const {
    if (in_place(blob)) { return static_cast<float*>(blob->overwrite_cpu_data_in(order())); }
    return Buffer(buffer, desc.get_size());
  }
  void Written(const shared_ptr<SyncedMemory>& blob, const float* data) const {
    if (!in_place(blob)) { ReorderTo(Wrap(desc, data), Wrap(plain, blob->mutable_cpu_data())); }
  }
};

// What a primitive multiplies, from what a blob's View has read.
static const void* Factor(const View& view, const memory::desc& rounded, const float* values, int buffer) {
  if (rounded == view.desc) { return values; }
  float* copy = Buffer(buffer, rounded.get_size());
  ReorderTo(Wrap(view.desc, values), Wrap(rounded, copy));
  return copy;
}

const size_t kShapes = 16;  // of a layer's input whose primitives are kept

struct OneDNNConvolutionLayer::Pass {
  View source, destination;
  memory::desc rounded_source, rounded_destination;  // as factors: in bfloat16, or as in source and destination
  memory::desc weights, bias;  // Caffe's own order
  memory::desc forward_weights, data_weights, weights_diff;
  dnnl::convolution_forward forward, forward_relu;
  dnnl::convolution_backward_data backward_data;
  dnnl::convolution_backward_weights backward_weights;
  bool usable = false;
};

static View ViewOf(const vector<int>& shape) {
  View view;
  const memory::dims dims(shape.begin(), shape.end());
  view.layout = BlockedLayout(shape);
  view.plain = memory::desc(dims, memory::data_type::f32, Tag::nchw);
  view.desc = memory::desc(dims, memory::data_type::f32,
      view.layout.plain() ? Tag::any : Lanes() == 16 ? Tag::nChw16c : Tag::nChw8c);
  return view;
}

bool OneDNNConvolutionLayer::Ready(const vector<Blob<float>*>& bottom, const vector<Blob<float>*>& top) {
  if (this->num_spatial_axes_ != 2 || bottom[0]->count() == 0) { return false; }
  if (passes_.size() == kShapes && !passes_.count(bottom[0]->shape())) { passes_.clear(); }
  shared_ptr<Pass>& pass = passes_[bottom[0]->shape()];
  if (!pass) {
    pass.reset(new Pass());
    const int* kernel = this->kernel_shape_.cpu_data();
    const int* stride = this->stride_.cpu_data();
    const int* padding = this->pad_.cpu_data();
    const memory::dims strides = {stride[0], stride[1]}, pad = {padding[0], padding[1]};
    pass->source = ViewOf(bottom[0]->shape());
    pass->destination = ViewOf(top[0]->shape());
    const bool rounds = rounds_ && !pass->source.layout.plain() && !pass->destination.layout.plain();
    const memory::data_type factors = rounds ? memory::data_type::bf16 : memory::data_type::f32;
    const memory::desc source = pass->source.As(factors);
    const memory::dims shape = {this->num_output_, this->channels_, kernel[0], kernel[1]};
    const memory::desc any(shape, factors, Tag::any);
    const memory::desc any_gradient(shape, memory::data_type::f32, Tag::any);
    pass->weights = memory::desc(shape, memory::data_type::f32, Tag::oihw);
    pass->bias = memory::desc({this->num_output_}, memory::data_type::f32, Tag::x);
    const auto direct = dnnl::algorithm::convolution_direct;  // winograd rounds too coarsely for training
    try {
      const dnnl::convolution_forward::desc forward(dnnl::prop_kind::forward_training, direct, source, any,
          pass->bias, pass->destination.desc, strides, pad, pad);
      const dnnl::convolution_forward::primitive_desc chosen(forward, Cpu());
      dnnl::post_ops relu;
      relu.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f);
      dnnl::primitive_attr with_relu;
      with_relu.set_post_ops(relu);
      // From here on both sides' orders are the forward pass's.
      pass->rounded_source = chosen.src_desc();
      if (!rounds) { pass->source.desc = chosen.src_desc(); }
      pass->destination.desc = chosen.dst_desc();
      pass->rounded_destination = pass->destination.As(factors);
      pass->forward_weights = chosen.weights_desc();
      pass->forward = dnnl::convolution_forward(chosen);
      pass->forward_relu = dnnl::convolution_forward(dnnl::convolution_forward::primitive_desc(
          dnnl::convolution_forward::desc(dnnl::prop_kind::forward_training, direct, pass->rounded_source,
              pass->forward_weights, pass->bias, pass->destination.desc, strides, pad, pad), with_relu, Cpu()));
      const dnnl::convolution_backward_data::primitive_desc data(dnnl::convolution_backward_data::desc(direct,
          pass->source.desc, any, pass->rounded_destination, strides, pad, pad), Cpu(), chosen);
      pass->data_weights = data.weights_desc();
      pass->backward_data = dnnl::convolution_backward_data(data);
      const dnnl::convolution_backward_weights::primitive_desc gradient(dnnl::convolution_backward_weights::desc(direct,
          pass->rounded_source, any_gradient, pass->bias, pass->rounded_destination, strides, pad, pad), Cpu(), chosen);
      pass->weights_diff = gradient.diff_weights_desc();
      pass->backward_weights = dnnl::convolution_backward_weights(gradient);
      pass->usable = true;
    } catch (const dnnl::error& error) {
      LOG(WARNING) << this->layer_param_.name() << ": oneDNN does not compute this shape (" << error.what()
          << "), Caffe's own convolution does";
    }
  }
  pass_ = pass;
  return pass_->usable;
}

// The weights, times the epilogue's factors, in the order wanted. Kept where the same ones are asked for a second time:
// while a net learns they are others at every pass.
const float* OneDNNConvolutionLayer::Weights(const void* wanted, const Epilogue* epilogue, int buffer, Kept* kept) {
  const memory::desc& desc = *static_cast<const memory::desc*>(wanted);
  const shared_ptr<SyncedMemory>& memory = this->blobs_[0]->data();
  const float* weights = this->blobs_[0]->cpu_data();
  const bool scaled = epilogue && !epilogue->factor.empty();
  if (!scaled && desc == pass_->weights) { return weights; }
  const std::pair<size_t, size_t> version(memory->version(), scaled ? epilogue->version : 0);
  // Python may write through a view that it was given at any time.
  const bool known = !memory->handed_out() && kept->version == version;
  if (known && !kept->values.empty()) { return kept->values.data(); }
  kept->version = version;
  float* data;
  if (known) {
    kept->values.resize((desc.get_size() + sizeof(float) - 1) / sizeof(float));
    data = kept->values.data();
  } else {
    std::vector<float>().swap(kept->values);
    data = Buffer(buffer, desc.get_size());
  }
  if (scaled) {
    const int row = this->blobs_[0]->count(1);
    float* product = Buffer(kScaledWeights, this->blobs_[0]->count() * sizeof(float));
#pragma omp parallel for
    for (int o = 0; o < this->num_output_; ++o) {
      loops::Scale(row, epilogue->factor[o], weights + size_t(o) * row, product + size_t(o) * row);
    }
    weights = product;
  }
  ReorderTo(Wrap(pass_->weights, weights), Wrap(desc, data));
  return data;
}

void OneDNNConvolutionLayer::ForwardWith(const Epilogue* epilogue, const vector<Blob<float>*>& bottom,
    const vector<Blob<float>*>& top) {
  std::vector<float> shift(this->num_output_, 0.f);
  const float* bias = this->bias_term_ ? this->blobs_[1]->cpu_data() : NULL;
  for (int o = 0; o < this->num_output_; ++o) {
    if (epilogue && !epilogue->factor.empty()) {
      shift[o] = epilogue->shift[o] + (bias ? epilogue->factor[o] * bias[o] : 0.f);
    } else if (bias) {
      shift[o] = bias[o];
    }
  }
  const float* weights = Weights(&pass_->forward_weights, epilogue, kWeights, &forward_weights_);
  for (int i = 0; i < bottom.size(); ++i) {
    const void* source = Factor(pass_->source, pass_->rounded_source, pass_->source.Read(bottom[i]->data(), kSource),
        kRoundedSource);
    float* destination = pass_->destination.Write(top[i]->data(), kDestination);
    const dnnl::convolution_forward& forward = epilogue && epilogue->relu ? pass_->forward_relu : pass_->forward;
    forward.execute(Stream(), {{DNNL_ARG_SRC, Wrap(pass_->rounded_source, source)},
        {DNNL_ARG_WEIGHTS, Wrap(pass_->forward_weights, weights)}, {DNNL_ARG_BIAS, Wrap(pass_->bias, shift.data())},
        {DNNL_ARG_DST, Wrap(pass_->destination.desc, destination)}});
    pass_->destination.Written(top[i]->data(), destination);
  }
}

void OneDNNConvolutionLayer::BackwardWith(const Epilogue* epilogue, const vector<Blob<float>*>& top,
    const vector<bool>& propagate_down, const vector<Blob<float>*>& bottom, std::vector<float>* sum,
    std::vector<float>* product) {
  const bool scaled = epilogue && !epilogue->factor.empty();
  const bool learn_weights = this->param_propagate_down_[0];
  const bool learn_bias = this->bias_term_ && this->param_propagate_down_[1];
  const int row = this->blobs_[0]->count(1), outputs = this->num_output_;
  const float* bias = this->bias_term_ ? this->blobs_[1]->cpu_data() : NULL;
  for (int i = 0; i < top.size(); ++i) {
    const void* diff = Factor(pass_->destination, pass_->rounded_destination,
        pass_->destination.Read(top[i]->diff(), kDestination), kRoundedDestination);
    if (learn_weights || learn_bias || sum) {
      const void* source = Factor(pass_->source, pass_->rounded_source,
          pass_->source.Read(bottom[i]->data(), kSource), kRoundedSource);
      float* gradient = Buffer(kWeights, pass_->weights_diff.get_size());
      std::vector<float> bias_gradient(outputs);
      pass_->backward_weights.execute(Stream(), {{DNNL_ARG_SRC, Wrap(pass_->rounded_source, source)},
          {DNNL_ARG_DIFF_DST, Wrap(pass_->rounded_destination, diff)},
          {DNNL_ARG_DIFF_WEIGHTS, Wrap(pass_->weights_diff, gradient)},
          {DNNL_ARG_DIFF_BIAS, Wrap(pass_->bias, bias_gradient.data())}});
      if (pass_->weights_diff != pass_->weights) {
        float* plain = Buffer(kScaledWeights, pass_->weights.get_size());
        ReorderTo(Wrap(pass_->weights_diff, gradient), Wrap(pass_->weights, plain));
        gradient = plain;
      }
      // With y = f · z + shift, z = w · x + bias: dw = f · Σ dy x, and Σ dy z = w · Σ dy x + bias · Σ dy.
      const float* weights = this->blobs_[0]->cpu_data();
      float* weights_diff = learn_weights ? this->blobs_[0]->mutable_cpu_diff() : NULL;
      float* bias_diff = learn_bias ? this->blobs_[1]->mutable_cpu_diff() : NULL;
#pragma omp parallel for
      for (int o = 0; o < outputs; ++o) {
        const float factor = scaled ? epilogue->factor[o] : 1.f;
        const float* g = gradient + size_t(o) * row;
        const float dot = learn_weights ?
            loops::AddScaledAndDot(row, factor, g, weights + size_t(o) * row, weights_diff + size_t(o) * row) :
            loops::Dot(row, g, weights + size_t(o) * row);
        if (sum) {
          (*sum)[o] += bias_gradient[o];
          (*product)[o] += dot + (bias ? bias[o] * bias_gradient[o] : 0.f);
        }
        if (bias_diff) { bias_diff[o] += factor * bias_gradient[o]; }
      }
    }
    if (propagate_down[i]) {
      const float* weights = Weights(&pass_->data_weights, epilogue, kWeights, &backward_weights_);
      float* source_diff = pass_->source.Write(bottom[i]->diff(), kSource);
      pass_->backward_data.execute(Stream(), {{DNNL_ARG_DIFF_DST, Wrap(pass_->rounded_destination, diff)},
          {DNNL_ARG_WEIGHTS, Wrap(pass_->data_weights, weights)},
          {DNNL_ARG_DIFF_SRC, Wrap(pass_->source.desc, source_diff)}});
      pass_->source.Written(bottom[i]->diff(), source_diff);
    }
  }
}

void OneDNNConvolutionLayer::Forward_cpu(const vector<Blob<float>*>& bottom, const vector<Blob<float>*>& top) {
  if (!Ready(bottom, top)) { return ConvolutionLayer<float>::Forward_cpu(bottom, top); }
  ForwardWith(NULL, bottom, top);
}

void OneDNNConvolutionLayer::Backward_cpu(const vector<Blob<float>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<float>*>& bottom) {
  if (!Ready(bottom, top)) { return ConvolutionLayer<float>::Backward_cpu(top, propagate_down, bottom); }
  BackwardWith(NULL, top, propagate_down, bottom, NULL, NULL);
}

}  // namespace caffe
