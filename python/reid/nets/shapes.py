"""The shapes of a net's blobs and parameters, from its description, before Caffe builds anything."""

import json
import math
from dataclasses import dataclass

from caffe.proto import caffe_pb2

Shape = tuple[int, ...]
# the top has the shape of the first bottom
SAME = ("BatchNorm", "Scale", "ReLU", "Power", "Dropout", "Eltwise", "Softmax")


@dataclass(frozen=True)
class Shaped:
    """A layer of a NetParameter with the shapes of its bottoms, tops and parameters."""
    layer: caffe_pb2.LayerParameter
    bottoms: list[Shape]
    tops: list[Shape]
    params: list[Shape]


def shaped(net: caffe_pb2.NetParameter) -> list[Shaped]:
    """The layers of `net`, a NetParameter as reid.nets.build writes it, as a list of Shaped.

    Raises ValueError for a layer type that no generated net has.
    """
    blobs, layers = {}, []
    for layer in net.layer:
        bottoms = [blobs[name] for name in layer.bottom]
        tops = [tuple(shape) for shape in _tops(layer, bottoms)]
        blobs |= zip(layer.top, tops)
        layers.append(Shaped(layer, bottoms, tops, _params(layer, bottoms)))
    return layers


def _tops(layer: caffe_pb2.LayerParameter, bottoms: list[Shape]) -> list[Shape]:
    if layer.type in SAME:
        return bottoms[:1]
    if layer.type == "Convolution":
        batch, _, *size = bottoms[0]
        return [(batch, layer.convolution_param.num_output, *(_convolved(layer, side) for side in size))]
    if layer.type == "Pooling":
        return [_pooled(layer.pooling_param, *bottoms[0])]
    if layer.type == "InnerProduct":
        return [(bottoms[0][0], layer.inner_product_param.num_output)]
    if layer.type == "Slice":
        return [(bottoms[0][0] // len(layer.top), *bottoms[0][1:])] * len(layer.top)
    if layer.type == "Concat":
        return [(sum(shape[0] for shape in bottoms), *bottoms[0][1:])]
    if layer.type in ("SoftmaxWithLoss", "Accuracy"):
        return [()]
    if layer.type == "Silence":
        return []
    return _sources(layer, bottoms)


def _sources(layer: caffe_pb2.LayerParameter, bottoms: list[Shape]) -> list[Shape]:
    """The tops of the layers that bring in data, and of the squared difference."""
    if layer.type in ("Input", "DummyData"):
        given = layer.input_param if layer.type == "Input" else layer.dummy_data_param
        return [shape.dim for shape in given.shape]
    if layer.type == "Python" and layer.python_param.layer == "SquaredDifference":
        return bottoms[:1]
    if layer.type == "Python" and layer.python_param.layer == "PairData":
        param = json.loads(layer.python_param.param_str)
        return [(2 * param["batch"], 3, param["height"], param["width"])] + [(param["batch"],)] * 3
    raise ValueError(f"layer {layer.name}: no generated net has a layer of type {layer.type}")


def _params(layer: caffe_pb2.LayerParameter, bottoms: list[Shape]) -> list[Shape]:
    if layer.type == "Convolution":
        p = layer.convolution_param
        side = p.kernel_size[0]
        return [(p.num_output, bottoms[0][1], side, side)] + [(p.num_output,)] * p.bias_term
    if layer.type == "InnerProduct":
        p = layer.inner_product_param
        return [(p.num_output, math.prod(bottoms[0][1:])), (p.num_output,)]
    if layer.type == "BatchNorm":
        return [bottoms[0][1:2]] * 2 + [(1,)]
    if layer.type == "Scale":
        return [bottoms[0][1:2]] * 2
    return []


def _convolved(layer: caffe_pb2.LayerParameter, side: int) -> int:
    kernel, stride, pad = geometry(layer)
    return (side + 2 * pad - kernel) // stride + 1


def geometry(layer: caffe_pb2.LayerParameter) -> tuple[int, int, int]:
    """Kernel side, stride and padding of a Convolution."""
    p = layer.convolution_param
    return p.kernel_size[0], *(given[0] if given else usual for given, usual in ((p.stride, 1), (p.pad, 0)))


def _pooled(p: caffe_pb2.PoolingParameter, batch: int, channels: int, height: int, width: int) -> Shape:
    """The top of a Pooling: rounded up by default, without a window that would start in the padding."""
    if p.global_pooling:
        return batch, channels, 1, 1
    kernels = (p.kernel_h, p.kernel_w) if p.HasField("kernel_h") else (p.kernel_size, p.kernel_size)
    out = []
    for side, kernel in zip((height, width), kernels):
        steps = (side + 2 * p.pad - kernel) / p.stride
        count = (math.floor(steps) if p.round_mode == p.FLOOR else math.ceil(steps)) + 1
        out.append(count - (p.pad > 0 and (count - 1) * p.stride >= side + p.pad))
    return batch, channels, *out
