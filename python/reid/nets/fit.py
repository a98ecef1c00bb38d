"""Whether weights fit a net: seen from descriptions before, since Caffe aborts where a layer does not."""

from pathlib import Path

import numpy as np

from reid.common.errors import InputError
from reid.formats.caffemodel import fits, shape, values
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import deploy_net
from reid.nets.shapes import shaped

Shapes = dict[str, list[tuple[int, ...]]]


def parameters(net) -> Shapes:
    """The shapes of the parameters of a NetParameter, {layer: [shape, …]}."""
    return {of.layer.name: [tuple(one) for one in of.params] for of in shaped(net) if of.params}


def trunk(base: str) -> Shapes:
    """Those of a backbone's trunk at its usual input."""
    return parameters(deploy_net(base, 1, BACKBONES[base].height, BACKBONES[base].width))


def misfit(layers: dict, wanted: Shapes, whose: str) -> str:
    """Why the blobs of a caffemodel, {layer: [BlobProto, …]}, are not those `wanted`; "" where they are.

    Layers that are not wanted are no matter. whose: what the message calls the net.
    """
    missing = [name for name in wanted if name not in layers]
    if missing:
        return (f"lacks {len(missing)} of the {len(wanted)} layers of {whose} "
                f"({', '.join(missing[:3])}{', …' if len(missing) > 3 else ''})")
    for name, shapes in wanted.items():
        if len(layers[name]) != len(shapes) or not all(map(fits, layers[name], shapes)):
            found = [shape(blob) for blob in layers[name]]
            return f"layer {name} has shapes {found}, and {whose} needs {shapes}"
    return ""


def check(path: Path, layers: dict, wanted: Shapes, whose: str) -> None:
    """InputError, naming the file, where its blobs are not those `wanted` (see `misfit`) or not finite."""
    reason = misfit(layers, wanted, whose)
    if reason:
        raise InputError(f"{path}: does not fit {whose}: {reason}; python -m weights.inspect {path} shows "
                         "what it holds")
    check_finite(path, {name: layers[name] for name in wanted})


def check_finite(path: Path, layers: dict) -> None:
    """InputError, naming the file and the layer, where a blob holds NaN or infinity."""
    for name, blobs in layers.items():
        if not all(np.isfinite(values(blob)).all() for blob in blobs):
            raise InputError(f"{path}: layer {name} holds NaN or infinity: the file is damaged, or the "
                             "training that wrote it had diverged; take another")
