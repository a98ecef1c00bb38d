"""What benchmarks/run.py measures: one function an entry. Prints the rows as a line of JSON at the end.

Each is measured on the spot, the peer and the limit in turn with this project. A row's memory is what the
work added to its process.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np

from benchmarks.timing import seconds_of
from data_prep.people.write import write
from data_prep.prepare import prepare
from reid.formats import datum
from reid.formats.database import Writer
from reid.formats.manifest import load_manifest
from reid.formats.pair_lmdb import PairStore

ROOT = Path(__file__).resolve().parents[1]
MIB = 2 ** 20
PEOPLE, EPOCHS = 120, 10    # of the generated people that are prepared and fed
SAMPLE = 500    # pairs that are materialised


def row(what: str, ours: float, unit: str, higher: bool = False, peer: tuple[float, str] | None = None,
        limit: tuple[float, str] | None = None, memory: int | None = None) -> dict:
    """A line of the table. peer, limit: a figure in the same unit, and what it is."""
    return {"what": what, "ours": ours, "unit": unit, "higher_is_better": higher,
            "peer": peer and peer[0], "peer_is": peer and peer[1],
            "limit": limit and limit[0], "limit_is": limit and limit[1], "memory": memory}


@contextlib.contextmanager
def generated() -> Iterator[tuple[Path, Path]]:
    """A raw folder of generated people, and room beside it."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "people", "viper", identities=PEOPLE, seed=0)
        yield Path(folder) / "people", Path(folder)


def size(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def data_prep(options: argparse.Namespace) -> list[dict]:
    """Preparing beside a plain loop, and beside pairs that are written out as pixels.

    The limit of time is the plain loop: each file read, decoded, resized and written, nothing checked. Pairs
    as pixels, as Caffe's siamese example has them: two resized images each; the first SAMPLE pairs are
    written, and the rest is reckoned from them.
    """
    with generated() as (raw, room):
        def ours(store: str) -> None:
            prepare("viper", raw, room / store, [0], epochs=EPOCHS, store=store)
        seconds = {store: seconds_of(partial(ours, store)) for store in ("encoded", "raw")}
        paths = load_manifest(room / "raw").images.path

        def plain() -> None:
            (room / "plain").mkdir()
            with Writer(room / "plain", len(paths) * 2 ** 18) as writer:
                for place, path in enumerate(paths):
                    image = cv2.resize(cv2.imread(str(raw / path)), (256, 256))
                    writer.put(b"%08d" % place, datum.encode(image, 0))
        loop = seconds_of(plain)
        pairs = PairStore(room / "raw/split00/train")
        (room / "pairs").mkdir()

        def materialised() -> None:
            with Writer(room / "pairs", SAMPLE * 2 ** 19) as writer:
                for number, pair in enumerate(pairs.epoch(0)[:SAMPLE]):
                    for side in "ab":
                        image = cv2.resize(cv2.imread(str(raw / paths[pair[side]])), (256, 256))
                        key = b"%08d%s" % (number, side.encode())
                        writer.put(key, datum.encode(image, int(pair["same"])))
        sample = min(SAMPLE, len(pairs.epoch(0)))
        whole = seconds_of(materialised) * pairs.total / sample
        bytes_ = size(room / "pairs") * pairs.total / sample
        how = f"{pairs.total:,} pairs as pixels, reckoned from {sample}"
        files = sum((raw / path).stat().st_size for path in paths)
        rows = []
        for store in seconds:
            what = f"{len(paths)} images, {EPOCHS} epochs, `--store {store}`"
            rows.append(row(f"{what}: time", seconds[store], "s", peer=(whole, how),
                            limit=(loop, "images alone, by OpenCV")))
            rows.append(row(f"{what}: on the disk", size(room / store) / MIB, "MiB", peer=(bytes_ / MIB, how),
                            limit=(files / MIB, "the raw files")))
    return rows


def feed(options: argparse.Namespace) -> list[dict]:
    """Crops of 224×224 that a net of PairData alone takes in, by both stores, warm.

    The limit is the one step that none can do without: bytes less the mean, written as floats by one core.
    """
    run = module("feed/run.py")
    rows, seconds, workers = [], 5.0, os.cpu_count()
    with generated() as (raw, room):
        for store in ("encoded", "raw"):
            prepare("viper", raw, room / store, [0], epochs=EPOCHS, store=store)
            settings = run.Source(pairs=str(room / store / "split00/train"),
                                  images=str(room / store / "images"), batch=32, crop=224, height=224,
                                  width=224, mean=(103., 115.9, 123.15), seed=0, phase="train",
                                  workers=workers)
            ours, _ = run.measure(run.caffe_batches(settings), settings, seconds)
            theirs = dataloader(options.torch_python, room / store, workers, seconds)
            rows.append(row(f"`--store {store}`, {workers} workers", ours, "crops/s", True,
                            theirs and (theirs, "PyTorch's DataLoader, the same crops"),
                            (floats_per_second(64, seconds / 2), "bytes to floats alone")))
    return rows


def floats_per_second(crops: int, seconds: float) -> float:
    """Crops whose bytes one core turns into floats less the mean, a second."""
    pixels, out = np.zeros((crops, 3, 224, 224), np.uint8), np.zeros((crops, 3, 224, 224), np.float32)
    mean, count, started = np.ones((3, 1, 1), np.float32), 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        np.subtract(pixels, mean, out=out)
        count += crops
    return count / (time.perf_counter() - started)


LOADER = """
import sys, time
sys.path[:0] = [{feed!r}]
sys.path.append({torch!r})
import dataloader
from reid.layers.source import Source
s = Source(pairs={pairs!r}, images={images!r}, batch=32, crop=224, height=224, width=224,
           mean=(103., 115.9, 123.15), seed=0, phase="train", workers={workers})
batches = dataloader.{way}(s)
for _ in range(4 * s.workers):
    next(batches)
count, started = 0, time.perf_counter()
while time.perf_counter() - started < {seconds}:
    next(batches)
    count += 64
print(count / (time.perf_counter() - started))
"""


def dataloader(python: Path | None, data: Path, workers: int, seconds: float) -> float | None:
    """Crops a second of the faster way with PyTorch's DataLoader; None without a Python that has it."""
    if python is None:
        return None
    # This Python, with the other's PyTorch behind its own packages: both sides read with one LMDB and OpenCV.
    torch = subprocess.run([python, "-c", "import torch; print(torch.__path__[0])"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.strip()
    code = [LOADER.format(torch=str(Path(torch).parent), feed=str(ROOT / "benchmarks/feed"), workers=workers,
                          pairs=str(data / "split00/train"), images=str(data / "images"), seconds=seconds,
                          way=way) for way in ("pair_by_pair", "batch_by_batch")]
    said = [subprocess.run([sys.executable, "-c", one], check=True, stdout=subprocess.PIPE, text=True).stdout
            for one in code]
    return max(float(line.split()[-1]) for line in said)


def train(options: argparse.Namespace) -> list[dict]:
    """A training step of ResNet-50 by benchmarks/train: PyTorch, the same threads and batch.

    The limit is the rate of a large float32 matrix product: a crop of 224×224 takes 4.1 · 10⁹ multiply-adds
    forward, and backward twice as many.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seen.json"
        command = [sys.executable, str(ROOT / "benchmarks/train/run.py"), "--fixed", "--batch",
                   str(options.batch), "--base", "resnet50", "--updates", "4", "--warm-up", "1", "--repeats",
                   "2", "--json", str(file), "--variant", "Caffe"]
        if options.torch_python:
            command += ["PyTorch", "--torch-python", str(options.torch_python)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        seen = json.loads(file.read_text())["measured"]["resnet50"]
    pace = product_rate() / (2 * 3 * 2 * 4.1e9)    # pairs: two crops, three passes, two operations
    rates = {name: statistics.median(turn["pairs_per_second"] for turn in turns)
             for name, turns in seen.items()}
    return [row(f"ResNet-50, {options.batch} pairs of 224×224", rates["Caffe"], "pairs/s", True,
                (rates["PyTorch"], "PyTorch, eager") if "PyTorch" in rates else None,
                (pace, "the matrix product's rate"), max(turn["memory"] for turn in seen["Caffe"]))]


def product_rate() -> float:
    """Operations a second of a large float32 matrix product."""
    a = np.ones((2048, 2048), np.float32)
    return 2 * 2048 ** 3 / min(seconds_of(lambda: a @ a) for _ in range(5))


def evaluate(options: argparse.Namespace) -> list[dict]:
    """Market-1501's evaluation; the limit is its one matrix product, without ranks and scores."""
    run = module("evaluate/run.py")
    query, gallery = run.market(2048, run.GALLERY)
    product, seconds, memory, _ = run.side_by_side(query, gallery, 3)
    return [row(f"{run.QUERIES:,} queries in {run.GALLERY:,}, features of 2048", seconds, "s",
                limit=(product, "the matrix product"), memory=memory)]


def growth(options: argparse.Namespace) -> list[dict]:
    """Time against size on logarithmic axes; the slope is the power with which cost grows."""
    run = module("evaluate/run.py")
    rows = []

    def curve(name: str, sizes: list[int], cost: Callable[[int], tuple[float, int | None]]) -> None:
        seconds, memory = zip(*map(cost, sizes))
        slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        plot(options.plots / f"growth-{name.replace(' ', '-')}.png", name, sizes, seconds, slope)
        rows.append(row(f"{name}, {sizes[0]:,} to {sizes[-1]:,}: power of growth", slope, "",
                        limit=(1, "in proportion"), memory=memory[-1]))

    def ranked(queries: int, gallery: int, values: int) -> tuple[float, int]:
        query, searched = run.market(values, gallery)
        query = {key: array[:queries] for key, array in query.items()}
        run.forget_peak()
        before = run.status("VmRSS")
        return seconds_of(lambda: run.rank(query, searched)), run.status("VmHWM") - before

    curve("gallery", [20_000, 60_000, 200_000, 1_000_000], lambda n: ranked(50, n, 128))
    curve("feature length", [256, 1024, 4096], lambda n: ranked(1000, run.GALLERY, n))
    with generated() as (raw, room):
        curve("pairs in epochs", [20, 80, 320],
              lambda n: (seconds_of(lambda: prepare("viper", raw, room / f"e{n}", [0], epochs=n)), None))
        curve("splits", [1, 3, 10],
              lambda n: (seconds_of(lambda: prepare("viper", raw, room / f"s{n}", [*range(n)], epochs=40)),
                         None))

        def people(count: int) -> tuple[float, None]:
            write(room / f"raw{count}", "viper", identities=count, seed=0)
            out = room / f"p{count}"
            return seconds_of(lambda: prepare("viper", room / f"raw{count}", out, [0], epochs=10)), None
        curve("identities", [30, 100, 300], people)
    return rows


def plot(file: Path, name: str, sizes: list[int], seconds: list[float], slope: float) -> None:
    """A curve of growth as a PNG."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4, 3), layout="constrained")
    axes.loglog(sizes, seconds, "o-")
    axes.set(xlabel=name, ylabel="seconds", title=f"grows with power {slope:.2f}")
    figure.savefig(file, dpi=100)


def module(path: str) -> ModuleType:
    """A benchmark of its own as a module."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_")[:-3], ROOT / "benchmarks" / path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("entry", choices=("data_prep", "feed", "train", "evaluate", "growth"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--torch-python", type=Path)
    parser.add_argument("--plots", type=Path, required=True)
    options = parser.parse_args()
    print(json.dumps(globals()[options.entry](options)))
