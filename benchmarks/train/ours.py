"""Updates of the paper's net by this project's Caffe, as tools/train_stage.sh makes them."""
import argparse
import contextlib
import os
import tempfile
from pathlib import Path

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from reid.engine import memory
from reid.engine.device import ROUNDS, use_device
from reid.engine.loop import Prefetch
from reid.layers.source import Source
from reid.nets.backbones.registry import BACKBONES as BASES
from reid.nets.build import train_net
from reid.nets.by_hand import feed_by_hand
from reid.nets.heads import Heads
from reid.nets.solver import solver

LOSSES = ("loss_id_a", "loss_id_b", "loss_verif")
INPUTS = ("data", "label_a", "label_b", "same")
WORKERS = 2


class Training:
    """A solver of the training net, with equal random weights on every machine. options: see measure.py."""

    def __init__(self, options: argparse.Namespace) -> None:
        use_device(options.gpu)
        self.gpu = options.gpu
        net = paper_net(options)
        workspace = None if options.gpu is None else memory.workspace_limit(memory.gpu_memory(options.gpu)[1])
        needed = memory.need(net, workers=WORKERS if options.data else 0, workspace=workspace,
                             rounds=os.environ.get(ROUNDS) == "1")
        self.estimate = needed.bytes(options.batch)
        if not options.data:
            feed_by_hand(net)
        for layer in net.layer:      # the numbers are drawn here: Caffe takes seconds for VGG-16's
            layer.convolution_param.ClearField("weight_filler")
            layer.inner_product_param.ClearField("weight_filler")
        caffe.set_random_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            self.solver = caffe.SGDSolver(write_solver(Path(folder), net, options))
        self.net = self.solver.net
        draw_weights(self.net)
        self.open = contextlib.ExitStack()
        if options.data:
            self.open.enter_context(Prefetch(self.solver))
        else:
            for name, values in fixed_batch(options).items():
                self.net.blobs[name].data[...] = values

    def update(self) -> list[float]:
        """One update; its three losses, which the training reads each time too."""
        self.solver.step(1)
        return [float(self.net.blobs[name].data) for name in LOSSES]

    def memory(self) -> int:
        """Bytes in use on the GPU; Caffe gives none back, so that is the most it took."""
        free, total = memory.gpu_memory(self.gpu)
        return total - free

    def close(self) -> None:
        self.open.close()
        if hasattr(self.net.layers[0], "close"):
            self.net.layers[0].close()

    def record(self, file: Path, updates: int) -> None:
        """Make some updates; write what the peer repeats, weights, batches and masks, and what came out."""
        kept = {f"before/{key}": value for key, value in weights(self.net).items()}
        masks = [name for name in ("mask", "mask6") if name in self.net.blobs]
        for i in range(updates):
            kept[f"losses/{i}"] = self.update()
            for name in (*INPUTS, *masks):
                kept[f"batch/{i}/{name}"] = self.net.blobs[name].data.copy()
        kept |= {f"after/{key}": value for key, value in weights(self.net).items()}
        np.savez(file, **kept)


def paper_net(options: argparse.Namespace) -> caffe_pb2.NetParameter:
    """The training net of an objective of both losses over Market-1501's 751 people, as a NetParameter."""
    base = BASES[options.base]
    heads = Heads("vi", options.classes, verif_scale=base.verif_scale, verif_lr_mult=base.verif_lr_mult)
    height, width = options.input
    return train_net(options.base, heads, Source(
        pairs=f"{options.data}/split00/train", images=f"{options.data}/images", batch=options.batch, crop=224,
        height=height, width=width, mean=list(base.mean), seed=0, workers=WORKERS))


def fixed_batch(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Pixels and labels of one made-up batch."""
    random = np.random.default_rng(0)
    label_a = np.arange(options.batch) % options.classes
    same = np.arange(options.batch) % 3 > 0
    return {"data": random.uniform(-120, 130, (2 * options.batch, 3, *options.input)), "label_a": label_a,
            "label_b": (label_a + same) % options.classes, "same": same}


def write_solver(folder: Path, net: caffe_pb2.NetParameter, options: argparse.Namespace) -> str:
    (folder / "train").write_text(text_format.MessageToString(net))
    proto = solver(folder / "train", "", lr=options.rate, lr_final=options.rate, lr_final_from=10 ** 6,
                   max_iter=10 ** 6, iter_size=1, momentum=0.9, weight_decay=0.0005,
                   clip_gradients=BASES[options.base].clip_gradients, test_iter=1,
                   test_interval=1, display=0, snapshot=0, snapshot_prefix=folder / "none", seed=1,
                   gpu=options.gpu is not None)
    for field in ("test_net", "test_iter", "test_interval"):      # nothing but updates
        proto.ClearField(field)
    (folder / "solver").write_text(text_format.MessageToString(proto))
    return str(folder / "solver")


def draw_weights(net: caffe.Net) -> None:
    """MSRA's deviation for the backbone, 0.001 for the heads; BatchNorm's statistics are near 0 and 1.

    The first layer has a 64th of it, so that from pixels of ±128 come values of some ±1, as trained weights
    make them.
    """
    random, first = np.random.default_rng(2), next(iter(net.params))

    def uniform(blob: "caffe._caffe.Blob", deviation: float) -> None:
        blob.data[...] = (random.random(blob.data.shape, np.float32) - 0.5) * (12 ** 0.5 * deviation)

    for name, blobs in net.params.items():
        if name.startswith("bn"):
            for blob, value in zip(blobs, (0, 1, 1)):
                blob.data[...] = value
            uniform(blobs[0], 0.1)
        elif name.startswith("scale"):
            # A block adds little to its shortcut, so that values neither grow nor vanish on the way up.
            blobs[0].data[...] = 0.4 if "branch2" in name else 1
            uniform(blobs[1], 0.1)
        elif name != "id_fc_b":      # which is id_fc_a
            msra = (2 / np.prod(blobs[0].shape[1:])) ** 0.5
            uniform(blobs[0], 0.001 if name in ("id_fc_a", "verif_fc") else
                    msra / 64 if name == first else msra)


def weights(net: caffe.Net) -> dict[str, np.ndarray]:
    """{"layer/number": array} of all parameters."""
    return {f"{name}/{i}": blob.data.copy() for name, blobs in net.params.items()
            for i, blob in enumerate(blobs)}


def operations(net: caffe.Net) -> int:
    """Multiplications and additions of the net's convolutions, forward over one batch."""
    count = 0
    for name, layer in zip(net._layer_names, net.layers):
        if layer.type == "Convolution":
            out = net.blobs[net.top_names[name][0]]
            count += 2 * net.params[name][0].count * out.count // out.channels
    return count
