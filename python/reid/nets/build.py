"""The nets of a stage: train and test, pairs in and losses out; deploy, image in and feature out.

Beside them the ImageNet classifier that a backbone's published weights belong to.
"""

from dataclasses import replace
from functools import cache

from caffe import NetSpec, layers as L
from caffe.proto import caffe_pb2

from reid.common.errors import InputError
from reid.layers.source import Source
from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import Heads, add_heads
from reid.nets.shapes import shaped
from reid.nets.two_branch import two_branch as as_two_branches

IMAGENET_CLASSES = 1000


def train_net(base: str, heads: Heads, source: Source, two_branch: bool = False,
              batch_statistics: bool = False, feature: str | None = None) -> caffe_pb2.NetParameter:
    """The training net of the backbone `base` (a key of BACKBONES).

    source            of the training pairs; its phase is set here
    two_branch        write the backbone twice, as Fig. 1 draws it; the same function, at twice the layers
    batch_statistics  BatchNorm normalises by the 2N images it sees, and averages what it saw for the other
                      nets; over stacked images and in two branches that is not the same function
    feature           the blob that goes into the heads, None for the backbone's own

    All functions here raise InputError for an input size that the backbone cannot take.
    """
    net = _pair_net(base, heads, source, "train", feature)
    if batch_statistics:
        if two_branch:
            raise InputError("two_branch=true batch_norm=batch: each branch would normalise by its own "
                             "images, which is another function; leave one of them out")
        for layer in net.layer:
            if layer.type == "BatchNorm":
                layer.batch_norm_param.use_global_stats = False
    return as_two_branches(net, feature or BACKBONES[base].feature) if two_branch else net


def test_net(base: str, heads: Heads, source: Source,
             feature: str | None = None) -> caffe_pb2.NetParameter:
    """The same net for held-out pairs, with accuracies, for Caffe's TEST phase. Labels of −1 are ignored."""
    return _pair_net(base, heads, source, "test", feature)


def deploy_net(base: str, batch: int, height: int, width: int,
               feature: str | None = None) -> caffe_pb2.NetParameter:
    """The backbone: blob data (batch, 3, height, width), BGR minus mean, to blob `feature`.

    feature: None for BACKBONES[base].feature.
    """
    _check_size(base, height, width)
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[batch, 3, height, width]))
    _add_layers(n, base, feature, pairs=0)
    return _named(n, f"{base}_deploy")


@cache
def normalises(base: str) -> bool:
    """Whether a backbone has BatchNorm, and so statistics that random weights do not have."""
    net = deploy_net(base, 1, BACKBONES[base].height, BACKBONES[base].width)
    return any(layer.type == "BatchNorm" for layer in net.layer)


def classifier_net(base: str, batch: int, height: int, width: int) -> caffe_pb2.NetParameter:
    """The ImageNet classifier: the deploy net, layer BACKBONES[base].classifier, softmax.

    Its output is blob prob (batch, 1000). All its weights start at zero, since it is there to load others.
    Raises InputError for a backbone without ImageNet weights.
    """
    if not BACKBONES[base].classifier:
        raise InputError(f"base {base}: it has no ImageNet weights and so no ImageNet classifier")
    _check_size(base, height, width)
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[batch, 3, height, width]))
    BACKBONES[base].add_layers(n, pairs=0)
    n[BACKBONES[base].classifier] = L.InnerProduct(n[BACKBONES[base].feature], num_output=IMAGENET_CLASSES)
    n.prob = L.Softmax(n[BACKBONES[base].classifier])
    net = _named(n, f"{base}_classifier")
    for layer in net.layer:    # drawing random weights for VGG-16, to be overwritten, would take seconds
        if layer.type == "Convolution":
            layer.convolution_param.ClearField("weight_filler")
        if layer.type == "InnerProduct":
            layer.inner_product_param.ClearField("weight_filler")
    return net


def _pair_net(base: str, heads: Heads, source: Source, phase: str,
              feature: str | None) -> caffe_pb2.NetParameter:
    _check_size(base, source.height, source.width)
    n = NetSpec()
    n.data, n.label_a, n.label_b, n.same = L.Python(
        name="data", ntop=4, module="reid.layers.pair_data", layer="PairData",
        param_str=replace(source, phase=phase).param_str())
    _add_layers(n, base, feature, pairs=source.batch)
    *_, last = shaped(deploy_net(base, 1, source.height, source.width, feature))
    add_heads(n, heads, feature or BACKBONES[base].feature, last.tops[0][1:], source.batch,
              test=phase == "test")
    return _named(n, f"{base}_{heads.objective}_{phase}")


def _add_layers(n: NetSpec, base: str, feature: str | None, pairs: int) -> None:
    """Add the layers of a backbone up to the feature, and none that comes after it."""
    of = BACKBONES[base]
    if feature not in (None, of.feature, *of.other_features):
        raise InputError(f"feature {feature}: {base} gives {' or '.join((of.feature, *of.other_features))}")
    of.add_layers(n, pairs)
    if feature in of.other_features:
        for name in [*n.tops][[*n.tops].index(feature) + 1:]:
            del n.tops[name]


def _check_size(base: str, height: int, width: int) -> None:
    of = BACKBONES[base]
    if not of.any_size and (height, width) != (of.height, of.width):
        raise InputError(f"input {height}x{width}: {base} takes {of.height}x{of.width} and no other size")


def _named(n: NetSpec, name: str) -> caffe_pb2.NetParameter:
    net = n.to_proto()
    net.name = name
    return net
