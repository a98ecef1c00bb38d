"""Not a test: what tests/test_gpu.py runs in a process of its own, where Caffe reads its switches afresh.

python one_pass.py BASE DEVICE OUT.npz SEED      losses and all gradients of one pass
                                                 DEVICE: cpu, or a GPU's number; SEED: of pixels and weights
"""

import os
import sys

os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
import numpy as np
from google.protobuf import text_format

from reid.layers.source import Source
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import train_net
from reid.nets.by_hand import feed_by_hand
from reid.nets.heads import Heads

PAIRS, CLASSES = 3, 7
INPUT = {"vgg16": (64, 64), "tiny": (64, 64), "tiny-bn": (64, 64)}      # the others: 64×32


def main(base, device, out, seed):
    if device == "cpu":
        caffe.set_mode_cpu()
    else:
        caffe.set_device(int(device))
        caffe.set_mode_gpu()
    net = alive(base, out + ".prototxt", seed=int(seed))
    net.forward()
    net.backward()
    kept = {name: net.blobs[name].data for name in net.outputs}
    for name, blobs in net.params.items():
        if not name.startswith("bn"):      # which learn nothing
            kept |= {f"{name}/{i}": blob.diff for i, blob in enumerate(blobs)}
    np.savez(out, **kept)


def alive(base, path, pairs=PAIRS, size=None, seed=3):
    """The training net with pixels, labels and weights that give every parameter a gradient, always the same.

    Without dropout: CPU and GPU draw their masks from other generators.
    """
    height, width = size or INPUT.get(base, (64, 32))
    heads = Heads("vi", CLASSES, verif_scale=BACKBONES[base].verif_scale, verif_lr_mult=10, dropout=0)
    proto = train_net(base, heads, Source("", "", pairs, 224, height, width, BACKBONES[base].mean, 0, 0))
    feed_by_hand(proto)
    for layer in proto.layer:
        if layer.type == "Dropout":
            layer.dropout_param.dropout_ratio = 0
        layer.convolution_param.ClearField("weight_filler")
        layer.inner_product_param.ClearField("weight_filler")
    with open(path, "w") as file:
        file.write(text_format.MessageToString(proto))
    net = caffe.Net(path, caffe.TRAIN)
    draw(net, base, seed)
    return net


def draw(net, base, seed=3):
    """Weights, pixels and labels."""
    random = np.random.default_rng(seed)
    for name, blobs in net.params.items():
        if name.startswith("bn"):
            for blob, value in zip(blobs, (0, 1, 1)):
                blob.data[...] = value
        elif name.startswith("scale"):
            blobs[0].data[...] = 0.4 if "branch2" in name else 1
            blobs[1].data[...] = random.uniform(-0.1, 0.1, blobs[1].data.shape)
        elif name != "id_fc_b":
            deviation = (2 / np.prod(blobs[0].shape[1:])) ** 0.5
            noise = random.random(blobs[0].data.shape, np.float32) - 0.5
            blobs[0].data[...] = noise * (12 ** 0.5 * deviation)
    random = np.random.default_rng(seed + 1)
    pixels = random.uniform(-2, 2, net.blobs["data"].data.shape)
    net.blobs["data"].data[...] = pixels * (16 if base == "tiny" else 1)
    for name, labels in (("label_a", (3, 5, 1)), ("label_b", (3, 6, 2)), ("same", (0, 1, 1))):
        net.blobs[name].data[...] = labels[:len(net.blobs[name].data)]


if __name__ == "__main__":
    main(*sys.argv[1:])
