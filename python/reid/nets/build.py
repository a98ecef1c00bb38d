"""The nets of a stage: train and test, pairs in and losses out; deploy, image in and feature out.

Beside them the ImageNet classifier that a base network's published weights belong to.
"""

import json
from dataclasses import asdict, dataclass
from functools import partial

from caffe import NetSpec, layers as L

from reid.common.errors import InputError
from reid.nets.backbones import resnet50, tiny, vgg16
from reid.nets.bases import BASES
from reid.nets.heads import add_heads
from reid.nets.two_branch import two_branch as as_two_branches

TRUNKS = {"vgg16": vgg16.trunk, "resnet50": resnet50.trunk,
          "resnet50-torchvision": partial(resnet50.trunk, torchvision=True), "tiny": tiny.trunk}
IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Source:
    """Where a net's pairs come from: the parameters of the PairData layer, except its phase.

    pairs, images  folders of the pair LMDB and of the image LMDB
    batch          pairs an iteration, N; the net sees 2N images
    crop           side in pixels of the window cut from the stored 256×256 image
    height, width  size in pixels that the window is brought to
    mean           BGR, 0…255
    seed           of the random crops
    workers        processes that read ahead; 0: none
    """
    pairs: str
    images: str
    batch: int
    crop: int
    height: int
    width: int
    mean: tuple[float, float, float]
    seed: int
    workers: int


def train_net(base, heads, source, two_branch=False):
    """The training net of base network `base` (a key of BASES), as a NetParameter.

    heads       Heads
    source      Source of the training pairs
    two_branch  write the trunk twice, as Fig. 1 draws it; the same function, at twice the layers

    All functions here raise InputError for an input size that the base network cannot take.
    """
    net = _pair_net(base, heads, source, "train")
    return as_two_branches(net, BASES[base].feature) if two_branch else net


def test_net(base, heads, source):
    """The same net for held-out pairs, with accuracies, for Caffe's TEST phase. Labels −1 are not judged."""
    return _pair_net(base, heads, source, "test")


def deploy_net(base, batch, height, width):
    """The trunk alone: blob data (batch, 3, height, width), BGR minus mean, to blob BASES[base].feature."""
    _check_size(base, height, width)
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[batch, 3, height, width]))
    TRUNKS[base](n, pairs=0)
    return _named(n, f"{base}_deploy")


def classifier_net(base, batch, height, width):
    """The ImageNet classifier: the deploy net, layer BASES[base].classifier, softmax; blob prob (batch, 1000).

    Its layers start at zero: it is made to load weights. Raises InputError for a base without ImageNet weights.
    """
    if not BASES[base].classifier:
        raise InputError(f"base {base}: it has no ImageNet weights and so no ImageNet classifier")
    _check_size(base, height, width)
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[batch, 3, height, width]))
    TRUNKS[base](n, pairs=0)
    n[BASES[base].classifier] = L.InnerProduct(n[BASES[base].feature], num_output=IMAGENET_CLASSES)
    n.prob = L.Softmax(n[BASES[base].classifier])
    net = _named(n, f"{base}_classifier")
    for layer in net.layer:            # drawing VGG-16's numbers, to be overwritten, would take seconds
        if layer.type == "Convolution":
            layer.convolution_param.ClearField("weight_filler")
        if layer.type == "InnerProduct":
            layer.inner_product_param.ClearField("weight_filler")
    return net


def _pair_net(base, heads, source, phase):
    _check_size(base, source.height, source.width)
    n = NetSpec()
    n.data, n.label_a, n.label_b, n.same = L.Python(
        name="data", ntop=4, module="reid.layers.pair_data", layer="PairData",
        param_str=json.dumps(asdict(source) | {"phase": phase}))
    TRUNKS[base](n, pairs=source.batch)
    add_heads(n, heads, BASES[base].feature, BASES[base].feature_dims, source.batch, test=phase == "test")
    return _named(n, f"{base}_{heads.objective}_{phase}")


def _check_size(base, height, width):
    of = BASES[base]
    if not of.any_size and (height, width) != (of.height, of.width):
        raise InputError(f"input {height}x{width}: {base} takes {of.height}x{of.width} and no other size")


def _named(n, name):
    net = n.to_proto()
    net.name = name
    return net
