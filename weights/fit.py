"""Whether weights fit a base network."""

import numpy as np

from reid.common.errors import InputError
from reid.formats.caffemodel import fits, shape, values
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import deploy_net
from reid.stages import preflight


def parameters(base):
    """Shapes of the parameters of a base network's trunk at its usual input, {layer: [tuple, …]}."""
    return preflight.parameters(deploy_net(base, 1, BACKBONES[base].height, BACKBONES[base].width))


def misfit(layers, base):
    """Why the blobs of a caffemodel, {layer: [BlobProto, …]}, cannot be the trunk of `base`; "" where they can.

    Layers that the trunk does not have are no matter; nor is another classifier than ImageNet's, or none.
    """
    wanted = parameters(base)
    missing = [name for name in wanted if name not in layers]
    if missing:
        return (f"{len(missing)} of the {len(wanted)} layers of {base} are not there "
                f"({', '.join(missing[:3])}{', …' if len(missing) > 3 else ''})")
    for name, shapes in wanted.items():
        if len(layers[name]) != len(shapes) or not all(map(fits, layers[name], shapes)):
            found = [shape(blob) for blob in layers[name]]
            return f"layer {name} has shapes {found}, and {base} needs {shapes}"
    return ""


def check(layers, base, path):
    """Raise InputError, naming the file, where the blobs do not fit `base` or are not finite."""
    reason = misfit(layers, base)
    if reason:
        raise InputError(f"{path}: does not fit {base}: {reason}; python -m weights.inspect {path} shows what it "
                         "holds")
    for name, blobs in layers.items():
        if not all(np.isfinite(values(blob)).all() for blob in blobs):
            raise InputError(f"{path}: layer {name} holds NaN or infinity: the file is damaged, or its training "
                             "had diverged; take another")
