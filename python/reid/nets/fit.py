"""Whether weights fit a net, and loading them: not left to Caffe, which would abort where they do not fit."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import caffe
import numpy as np
from caffe.proto import caffe_pb2

from reid.common.errors import InputError
from reid.formats.caffemodel import fits, shape, values
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import deploy_net
from reid.nets.shapes import Shape, shaped

Shapes = dict[str, list[Shape]]
Blobs = Mapping[str, Sequence[caffe_pb2.BlobProto]]


def parameters(net: caffe_pb2.NetParameter) -> Shapes:
    """The shapes of the parameters of a NetParameter, {layer: [shape, …]}, none for a layer without."""
    return {of.layer.name: [tuple(one) for one in of.params] for of in shaped(net)}


def backbone(base: str) -> Shapes:
    """The shapes of a backbone's parameters at its usual input size."""
    return parameters(deploy_net(base, 1, BACKBONES[base].height, BACKBONES[base].width))


def misfit(layers: Blobs, wanted: Shapes, whose: str) -> str:
    """Why the blobs of a caffemodel, {layer: [BlobProto, …]}, do not fit `wanted`; "" where they fit.

    Further layers in the file do not matter. whose: what the message calls the net.
    """
    needed = [name for name, shapes in wanted.items() if shapes]
    missing = [name for name in needed if name not in layers]
    if missing:
        return (f"lacks {len(missing)} of the {len(needed)} layers of {whose} "
                f"({', '.join(missing[:3])}{', …' if len(missing) > 3 else ''})")
    for name, shapes in wanted.items():
        blobs = layers.get(name, [])
        if len(blobs) != len(shapes) or not all(map(fits, blobs, shapes)):
            found = [shape(blob) for blob in blobs]
            return f"layer {name} has shapes {found}, and {whose} needs {shapes or 'none'}"
    return ""


def check(path: Path, layers: Blobs, wanted: Shapes, whose: str) -> None:
    """InputError, naming the file, where its blobs do not fit `wanted` (see `misfit`) or are not finite."""
    reason = misfit(layers, wanted, whose)
    if reason:
        raise InputError(f"{path}: does not fit {whose}: {reason}; python -m weights.inspect {path} shows "
                         "what it holds")
    check_finite(path, {name: layers[name] for name, shapes in wanted.items() if shapes})


def check_finite(path: Path, layers: Blobs) -> None:
    """InputError, naming the file and the layer, where a blob holds NaN or infinity."""
    for name, blobs in layers.items():
        if not all(np.isfinite(values(blob)).all() for blob in blobs):
            raise InputError(f"{path}: layer {name} holds NaN or infinity: the file is damaged, or the "
                             "training that wrote it had diverged; take another")


def load(net: caffe.Net, layers: Blobs) -> None:
    """Copy the blobs in `layers`, which `check` has passed, into the layers of a net by name."""
    for name in net.params.keys() & layers.keys():
        for target, blob in zip(net.params[name], layers[name]):
            target.data[...] = values(blob).reshape(target.data.shape)
