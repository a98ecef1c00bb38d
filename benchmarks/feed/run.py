"""Crops a second that PairData feeds to Caffe, beside PyTorch's DataLoader doing the same on the same images.

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

from reid.common.errors import command_line
from reid.layers.feed import PairFeed
from reid.layers.source import Source

CHECKED = 3  # batches of every contender that are compared
NET = """
layer {{ name: "data" type: "Python" top: "data" top: "label_a" top: "label_b" top: "same"
         python_param {{ module: "reid.layers.pair_data" layer: "PairData" param_str: {param} }} }}
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
        rates[name], processor = measure(batches(settings), settings, options.seconds)
        print(f"{name:27} {rates[name]:6.0f} crops/s  {1e6 * processor:4.0f} µs of processor a crop")
    ours, *theirs = rates.values()
    if theirs:
        print(f"PairData / the faster DataLoader: {ours / max(theirs):.2f}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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


def measure(batches: Generator[np.ndarray], settings: Source, seconds: float) -> tuple[float, float]:
    """Crops per second and processor seconds per crop, after the first batches have been found right."""
    feed, crops = PairFeed(settings), None
    for k, batch in zip(range(CHECKED), batches):
        crops = np.empty(batch.shape, np.uint8) if crops is None else crops
        feed.fill(k, crops)
        if not np.array_equal(batch, crops - np.float32(settings.mean).reshape(3, 1, 1)):
            sys.exit(f"batch {k} is not what it must be")
    for _ in range(4 * settings.workers):  # past what was prepared while the check ran
        next(batches)
    count, started, used = 0, time.perf_counter(), processor_seconds()
    while time.perf_counter() - started < seconds:
        next(batches)
        count += 2 * settings.batch
    elapsed, used = time.perf_counter() - started, processor_seconds() - used
    batches.close()
    return count / elapsed, used / count


def processor_seconds() -> float:
    """Processor time of this process and its workers up to now; on a busy machine it tells more."""
    workers = [Path(f"/proc/{process.pid}/stat").read_text() for process in multiprocessing.active_children()]
    ticks = sum(int(field) for stat in workers for field in stat.rsplit(")", 1)[1].split()[11:13])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
