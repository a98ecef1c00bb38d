"""The nets of a stage: train and test, pairs in and losses out; deploy, image in and feature out.

Beside them the ImageNet classifier that a base network's published weights belong to.
"""

from dataclasses import replace

from caffe import NetSpec, layers as L

from reid.common.errors import InputError
from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import add_heads
from reid.nets.two_branch import two_branch as as_two_branches

IMAGENET_CLASSES = 1000


def train_net(base, heads, source, two_branch=False):
    """The training net of base network `base` (a key of BACKBONES), as a NetParameter.

    heads       Heads
    source      Source of the training pairs; the builders set its phase
    two_branch  write the trunk twice, as Fig. 1 draws it; the same function, at twice the layers

    All functions here raise InputError for an input size that the base network cannot take.
    """
    net = _pair_net(base, heads, source, "train")
    return as_two_branches(net, BACKBONES[base].feature) if two_branch else net


def test_net(base, heads, source):
    """The same net for held-out pairs, with accuracies, for Caffe's TEST phase. Labels −1 are not judged."""
    return _pair_net(base, heads, source, "test")


def deploy_net(base, batch, height, width):
    """The trunk: blob data (batch, 3, height, width), BGR minus mean, to blob BACKBONES[base].feature."""
    _check_size(base, height, width)
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[batch, 3, height, width]))
    BACKBONES[base].trunk(n, pairs=0)
    return _named(n, f"{base}_deploy")


def classifier_net(base, batch, height, width):
    """The ImageNet classifier: the deploy net, layer BACKBONES[base].classifier, softmax.

    Its output is blob prob (batch, 1000). Its layers start at zero: it is made to load weights. Raises
    InputError for a base without ImageNet weights.
    """
    if not BACKBONES[base].classifier:
        raise InputError(f"base {base}: it has no ImageNet weights and so no ImageNet classifier")
    _check_size(base, height, width)
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[batch, 3, height, width]))
    BACKBONES[base].trunk(n, pairs=0)
    n[BACKBONES[base].classifier] = L.InnerProduct(n[BACKBONES[base].feature], num_output=IMAGENET_CLASSES)
    n.prob = L.Softmax(n[BACKBONES[base].classifier])
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
        param_str=replace(source, phase=phase).param_str())
    BACKBONES[base].trunk(n, pairs=source.batch)
    add_heads(n, heads, BACKBONES[base].feature, BACKBONES[base].feature_dims, source.batch,
              test=phase == "test")
    return _named(n, f"{base}_{heads.objective}_{phase}")


def _check_size(base, height, width):
    of = BACKBONES[base]
    if not of.any_size and (height, width) != (of.height, of.width):
        raise InputError(f"input {height}x{width}: {base} takes {of.height}x{of.width} and no other size")


def _named(n, name):
    net = n.to_proto()
    net.name = name
    return net
