"""Features by one side in a process of its own: compared with Caffe's, then timed; prints a line of JSON.

run.py starts these and writes the folder that they work in.
"""
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("GLOG_minloglevel", "2")      # Caffe reads it when it is imported

import numpy as np

from benchmarks.memory import status

if TYPE_CHECKING:    # the peers' Python need not have what the settings are read with
    from reid.engine.settings import Settings

BASE, BATCH = "resnet50", 8    # reid.features.image_feed.BATCH
APART = 1e-4    # of the largest value: what two orders of summation may differ by
Features = Callable[[int], np.ndarray]    # of so many images, the first ones


def main() -> None:
    side, work, size = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if side == "write":
        print(json.dumps({"operations": write(work, size, int(sys.argv[4]))}))
        return
    views = np.load(work / "views.npy")
    compute = {"ours": ours, "opencv": opencv, "pytorch": pytorch}[side](work, views, size)
    expected = np.load(work / "features.npy")
    apart = compare(compute(len(expected)), expected)    # and warm
    began = time.perf_counter()
    compute(len(views))
    seconds = time.perf_counter() - began
    print(json.dumps({"images_per_second": len(views) / seconds, "apart": apart,
                      "memory": status("VmHWM")}))


def compare(found: np.ndarray, expected: np.ndarray) -> float:
    """How far features are from Caffe's, of the largest value; ends this process where that is too far."""
    apart = np.abs(found - expected).max() / np.abs(expected).max()
    if not apart <= APART or len(np.unique(expected.round(3), axis=0)) < 2:
        sys.exit(f"its features are not Caffe's: apart by {apart:.1e} of the largest value")
    return float(apart)


def write(work: Path, size: str, images: int) -> float:
    """Write what all sides compute from; the operations of the net's convolutions over one image.

    data/ (prepared images), deploy.prototxt, net.caffemodel and weights.npz (the same random numbers),
    views.npy (the images as the net sees them, less the mean) and features.npy (Caffe's, of the first batch).
    """
    import caffe
    from google.protobuf import text_format

    from benchmarks.train import ours as training
    from data_prep.people.write import write as write_people
    from data_prep.prepare import prepare
    from reid.features.extract import view
    from reid.formats.image_lmdb import ImageStore
    from reid.nets.backbones.registry import BACKBONES
    from reid.nets.build import deploy_net

    write_people(work / "raw", "viper", identities=-(-images // 2), seed=0)
    prepare("viper", work / "raw", work / "data", splits=[0], epochs=1)
    chosen, store = settings(size), ImageStore(work / "data/images")
    (work / "deploy.prototxt").write_text(text_format.MessageToString(
        deploy_net(BASE, BATCH, *chosen.input)))
    net = caffe.Net(str(work / "deploy.prototxt"), caffe.TEST)
    training.draw_weights(net)
    net.save(str(work / "net.caffemodel"))
    np.savez(work / "weights.npz", **training.weights(net))
    views = np.stack([view(store.get(place)[0], chosen) for place in range(images)])
    views = views - np.float32(chosen.mean).reshape(3, 1, 1)
    np.save(work / "views.npy", views)
    net.blobs["data"].data[...] = views[:BATCH]
    net.forward()
    np.save(work / "features.npy", net.blobs[BACKBONES[BASE].feature].data.reshape(BATCH, -1))
    return training.operations(net) / BATCH


def settings(size: str) -> "Settings":
    """The settings of extraction: all of a stored image, in the size that the net sees."""
    from reid.engine.settings import defaults, override
    return override(defaults(BASE), [f"input={size}", "test_view=resize"])


def ours(work: Path, views: np.ndarray, size: str) -> Features:
    """From the image LMDB: decoded, resized and handed over by worker processes."""
    import caffe

    from reid.features.extract import extract
    from reid.formats.image_lmdb import ImageStore
    from reid.nets.backbones.registry import BACKBONES

    net = caffe.Net(str(work / "deploy.prototxt"), str(work / "net.caffemodel"), caffe.TEST)
    store = ImageStore(work / "data/images")
    return lambda count: extract(net, BACKBONES[BASE].feature, store, range(count), settings(size))


def opencv(work: Path, views: np.ndarray, size: str) -> Features:
    """From pixels in memory, less the mean, by the same prototxt and caffemodel."""
    import cv2
    net = cv2.dnn.readNetFromCaffe(str(work / "deploy.prototxt"), str(work / "net.caffemodel"))

    def forward(batch: np.ndarray) -> np.ndarray:
        net.setInput(batch)
        return net.forward().reshape(len(batch), -1)
    return lambda count: np.concatenate([forward(batch) for batch in batches(views[:count])])


def pytorch(work: Path, views: np.ndarray, size: str) -> Features:
    """From pixels in memory, less the mean, by the net of benchmarks/train/peer.py with the same weights."""
    import torch

    from benchmarks.train import peer

    net = peer.ResNet50(views.shape[2:]).eval()
    peer.fill(net.layers.items(), np.load(work / "weights.npz"))

    def compute(count: int) -> np.ndarray:
        with torch.inference_mode():
            return np.concatenate([net(torch.from_numpy(batch), None).numpy()
                                   for batch in batches(views[:count])])
    return compute


def batches(views: np.ndarray) -> list[np.ndarray]:
    return [views[start:start + BATCH] for start in range(0, len(views), BATCH)]


if __name__ == "__main__":
    main()
