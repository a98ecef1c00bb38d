"""A small residual net for 64×64 input, trained from scratch on a CPU.

No BatchNorm: there are no ImageNet statistics to keep, and with batch statistics one backbone over stacked
images would be another function than two branches. Instead each block's last convolution starts at zero, so
that the net starts as a chain of its shortcuts and stays stable. Every layer is new and learns at the rates
of new layers, 10 and 20.
"""

from caffe import NetSpec, layers as L, params as P
from caffe.net_spec import Top

from reid.nets.backbones.backbone import IMAGENET_MEAN, Backbone

BLOCKS = ((2, 32), (3, 64), (4, 128))                                         # stage, channels
LEARNED = [dict(lr_mult=10, decay_mult=1), dict(lr_mult=20, decay_mult=0)]    # weight, bias


def add_layers(n: NetSpec, pairs: int) -> None:
    """Add the layers to NetSpec `n`, from n.data to n.embedding, (B, 128, 4, 1).

    `pairs`, which every backbone takes, is not used: there is no dropout here.
    """
    n.scaled = L.Power(n.data, scale=1 / 32)      # pixels minus mean: from some ±120 to some ±4
    n.conv1 = _convolution(n.scaled, 32, kernel_size=5, stride=2, pad=2)
    n.conv1_relu = L.ReLU(n.conv1, in_place=True)
    bottom = "conv1"
    for stage, channels in BLOCKS:
        bottom = _block(n, bottom, f"res{stage}", channels)
    # The mean of each of four stripes, not of the whole image: keeps upper and lower clothing apart.
    n.embedding = L.Pooling(n[bottom], pool=P.Pooling.AVE, kernel_h=1, kernel_w=4)


def _block(n: NetSpec, bottom: str, name: str, channels: int) -> str:
    """Two 3×3 convolutions beside a 1×1 shortcut, halving the size; returns the name of its output."""
    n[f"{name}_branch1"] = _convolution(n[bottom], channels, kernel_size=1, stride=2)
    n[f"{name}_branch2a"] = _convolution(n[bottom], channels, kernel_size=3, stride=2, pad=1)
    n[f"{name}_branch2a_relu"] = L.ReLU(n[f"{name}_branch2a"], in_place=True)
    n[f"{name}_branch2b"] = _convolution(n[f"{name}_branch2a"], channels, filler="constant", kernel_size=3,
                                         pad=1)
    n[name] = L.Eltwise(n[f"{name}_branch1"], n[f"{name}_branch2b"], operation=P.Eltwise.SUM)
    n[f"{name}_relu"] = L.ReLU(n[name], in_place=True)
    return name


def _convolution(bottom: Top, channels: int, filler: str = "msra", **geometry: int) -> Top:
    return L.Convolution(bottom, num_output=channels, weight_filler=dict(type=filler), param=LEARNED,
                         **geometry)


# Not in the paper: small enough for a CPU, trained from scratch. At a much larger scale the verification head
# drives all features to zero before the identification heads start to learn.
BACKBONE = Backbone(name="tiny", add_layers=add_layers, feature="embedding", classifier="",
                    feature_dims=(128, 4, 1), height=64, width=64, any_size=False, mean=IMAGENET_MEAN,
                    batch=32, verif_scale=0.2, clip_gradients=10, verif_lr_mult=10)
