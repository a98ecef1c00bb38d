"""A small residual net with BatchNorm for 64×64 input: training ResNet-50 from random weights, in small.

As in ResNet-50 each convolution is without bias and is normalised, and the statistics are the stored ones
unless the training asks for the batch's (the setting batch_norm). Every layer is new and learns ten times as
fast as a backbone that was trained before.
"""

from dataclasses import replace

from caffe import NetSpec, layers as L, params as P

from reid.nets.backbones import tiny
from reid.nets.backbones.resnet50 import normalise

LEARNED = dict(lr_mult=10, decay_mult=1)


def add_layers(n: NetSpec, pairs: int) -> None:
    """Add the layers to NetSpec `n`, from n.data to n.embedding, (B, 128, 4, 1); `pairs` is not used."""
    bottom = _convolution(n, "data", "conv1", "_conv1", 32, kernel_size=5, stride=2, pad=2)
    n.conv1_relu = L.ReLU(n.conv1, in_place=True)
    for stage, channels in tiny.BLOCKS:
        bottom = _block(n, bottom, stage, channels)
    n.embedding = L.Pooling(n[bottom], pool=P.Pooling.AVE, kernel_h=1, kernel_w=4)


def _block(n: NetSpec, bottom: str, stage: int, channels: int) -> str:
    """Two 3×3 convolutions beside a 1×1 shortcut, halving the size; returns the name of its output."""
    name = f"res{stage}"
    shortcut = _convolution(n, bottom, f"{name}_branch1", f"{stage}_branch1", channels, kernel_size=1,
                            stride=2)
    top = _convolution(n, bottom, f"{name}_branch2a", f"{stage}_branch2a", channels, kernel_size=3, stride=2,
                       pad=1)
    n[f"{top}_relu"] = L.ReLU(n[top], in_place=True)
    top = _convolution(n, top, f"{name}_branch2b", f"{stage}_branch2b", channels, kernel_size=3, pad=1)
    n[name] = L.Eltwise(n[shortcut], n[top])
    n[f"{name}_relu"] = L.ReLU(n[name], in_place=True)
    return name


def _convolution(n: NetSpec, bottom: str, name: str, suffix: str, channels: int, **geometry: int) -> str:
    """A convolution without bias and its normalisation; returns its name."""
    n[name] = L.Convolution(n[bottom], num_output=channels, bias_term=False, weight_filler=dict(type="msra"),
                            param=[LEARNED], **geometry)
    normalise(n, name, suffix, LEARNED)
    return name


# Not in the paper.
BACKBONE = replace(tiny.BACKBONE, name="tiny-bn", add_layers=add_layers)
