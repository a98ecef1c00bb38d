"""Crops a second that PairData feeds to Caffe, beside PyTorch's DataLoader and Caffe's own Data layer.

    .venv/bin/python benchmarks/feed/run.py --data DIR

README.md beside this file says what is measured and how to get PyTorch.
"""
import argparse
import importlib.util
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")  # Caffe reads it when it is imported

import caffe
import numpy as np

from reid.common.errors import Parser, command_line
from reid.formats.datum import Datum
from reid.formats.image_lmdb import ImageStore, image_key
from reid.layers.feed import PairFeed
from reid.layers.source import Source

CHECKED = 3  # batches of every contender that are compared
NET = """
layer {{ name: "data" type: "Python" top: "data" top: "label_a" top: "label_b" top: "same"
         python_param {{ module: "reid.layers.pair_data" layer: "PairData" param_str: {param} }} }}
"""
OWN = """
layer {{ name: "data" type: "Data" top: "data" top: "label"
         transform_param {{ crop_size: {crop} mirror: {mirror} mean_value: {mean[0]} mean_value: {mean[1]}
                            mean_value: {mean[2]} }}
         data_param {{ source: "{images}" backend: LMDB batch_size: {crops} }} }}
"""


@command_line
def main() -> None:
    options = parse_options()
    settings = Source(
        pairs=str(options.data / options.split / "train"), images=str(options.data / "images"),
        batch=options.batch, crop=224, height=224, width=224, mean=(103.0626, 115.9029, 123.1516), seed=0,
        phase="train", workers=options.workers)
    contenders = {"PairData in Caffe": caffe_batches}
    if importlib.util.find_spec("torch"):
        import dataloader  # of this folder; only here, because PyTorch is no part of the project

        contenders["DataLoader, a pair an item"] = dataloader.pair_by_pair
        contenders["DataLoader, a batch an item"] = dataloader.batch_by_batch
    else:
        print("PyTorch is not installed: PairData is measured alone (README.md says how to get it)")
    print(f"{options.batch} pairs of {options.data} a batch, {options.workers} workers")
    rates = {}
    for name, batches in contenders.items():
        started = batches(settings)
        check(started, settings)
        rates[name] = tell(name, started, settings, options.seconds)
    ours, *theirs = rates.values()
    if stored_raw(settings):
        tell("Caffe's own Data", own_batches(settings), settings, options.seconds)
    else:
        print("Caffe's own Data is left out: it does not resize an image that it decodes (--store raw)")
    if theirs:
        print(f"PairData / the faster DataLoader: {ours / max(theirs):.2f}")


def tell(name: str, batches: Generator[np.ndarray], settings: Source, seconds: float) -> float:
    """Measure and print; crops per second."""
    rate, processor, memory = measure(batches, settings, seconds)
    print(f"{name:27} {rate:6.0f} crops/s  {1e6 * processor:4.0f} µs of processor a crop  "
          f"{memory / 2 ** 20:4.0f} MiB")
    return rate


def parse_options() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that data_prep wrote")
    parser.add_argument("--split", default="split00", help="folder of the pairs in it (default: split00)")
    parser.add_argument("--batch", type=int, default=64, help="pairs in a batch (default: 64)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="default: one a processor")
    parser.add_argument("--seconds", type=float, default=20, help="how long each is measured (default: 20)")
    return parser.parse_args()


def caffe_batches(settings: Source) -> Iterator[np.ndarray]:
    """The batches of a net that is PairData alone."""
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(NET.format(param=json.dumps(json.dumps(vars(settings)))))
        file.flush()
        net = caffe.Net(file.name, caffe.TRAIN)
    try:
        while True:
            net.forward()
            yield net.blobs["data"].data
    finally:
        net.layers[0].close()


def own_batches(settings: Source) -> Iterator[np.ndarray]:
    """As many crops a batch by Caffe's own Data layer, which takes single images in the database's order.

    Of an image as it is stored, neither translated nor paired; crop, mirror and mean as PairData has them.
    Before it starts, its centre crops are compared with the stored images.
    """
    with tempfile.TemporaryDirectory() as folder:
        def net(mirror: str, phase: int) -> caffe.Net:
            text = OWN.format(**vars(settings), crops=2 * settings.batch, mirror=mirror)
            (Path(folder) / mirror).write_text(text)
            return caffe.Net(f"{folder}/{mirror}", phase)

        straight = net("false", caffe.TEST)
        straight.forward()
        store = ImageStore(Path(settings.images))
        edge = (store.get(0)[0].shape[-1] - settings.crop) // 2
        centre = slice(edge, edge + settings.crop)
        mean = np.float32(settings.mean).reshape(3, 1, 1)
        for place, crop in zip(range(len(store)), straight.blobs["data"].data):
            if not np.array_equal(crop, store.get(place)[0][:, centre, centre] - mean):
                sys.exit(f"Caffe's Data reads another image {place} than is stored")
        del straight
        drawn = net("true", caffe.TRAIN)
    while True:
        drawn.forward()
        yield drawn.blobs["data"].data


def stored_raw(settings: Source) -> bool:
    """Whether images are stored as Caffe's Data layer can use them: it does not resize what it decodes."""
    value = Datum.FromString(bytes(ImageStore(Path(settings.images)).read(image_key(0))))
    return not value.encoded


def check(batches: Iterator[np.ndarray], settings: Source) -> None:
    """The first batches are those of this process; else the program ends."""
    feed, crops = PairFeed(settings), None
    for k, batch in zip(range(CHECKED), batches):
        crops = np.empty(batch.shape, np.uint8) if crops is None else crops
        feed.fill(k, crops)
        if not np.array_equal(batch, crops - np.float32(settings.mean).reshape(3, 1, 1)):
            sys.exit(f"batch {k} is not what it must be")


def measure(batches: Generator[np.ndarray], settings: Source, seconds: float) -> tuple[float, float, int]:
    """Crops per second, processor seconds per crop, and bytes of memory of this process and its workers."""
    for _ in range(4 * settings.workers + 1):  # past what was prepared while a check ran
        next(batches)
    count, started, used = 0, time.perf_counter(), processor_seconds()
    while time.perf_counter() - started < seconds:
        next(batches)
        count += 2 * settings.batch
    elapsed, used = time.perf_counter() - started, processor_seconds() - used
    taken = memory()
    batches.close()
    return count / elapsed, used / count, taken


def memory() -> int:
    """Bytes that this process and its workers hold, what they share counted once, without mapped files."""
    held = 0
    for process in ("self", *(process.pid for process in multiprocessing.active_children())):
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        held += sum(int(line.split()[1]) for line in rollup if line.startswith(("Pss_Anon", "Pss_Shmem")))
    return 1024 * held


def processor_seconds() -> float:
    """Processor time of this process and its workers up to now; on a busy machine it tells more."""
    workers = [Path(f"/proc/{process.pid}/stat").read_text() for process in multiprocessing.active_children()]
    ticks = sum(int(field) for stat in workers for field in stat.rsplit(")", 1)[1].split()[11:13])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
