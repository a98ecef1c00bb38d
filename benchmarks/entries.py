"""What benchmarks/run.py measures: one function an entry, whose docstring stands above its table.

Prints as a line of JSON: the rows, that docstring, the most memory that any one process took, and what else
the page shows of the entry. Each is measured on the spot, the peer and the limit in turn with this project. A
row's memory is what the work added to its process, or all that a process of its own took.
"""

import argparse
import contextlib
import inspect
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.evaluate import run as evaluation
from benchmarks.extract import run as extraction
from benchmarks.memory import forget_peak, status
from benchmarks.timing import seconds_of
from data_prep.people.write import write
from data_prep.prepare import prepare
from reid.engine.device import has_bfloat16
from reid.formats import datum
from reid.formats.database import Writer
from reid.formats.manifest import load_manifest
from reid.formats.pair_lmdb import PairStore

ROOT = Path(__file__).resolve().parents[1]
MIB = 2 ** 20
PEOPLE, EPOCHS = 120, 10    # of the generated people that are prepared and fed
SAMPLE = 500    # pairs that are materialised
FEW = 300    # queries that torchreid ranks too
GROWTH = {"gallery": (20_000, 60_000, 200_000, 1_000_000), "values": (256, 1024, 4096),
          "epochs": (20, 80, 320), "splits": (1, 3, 10), "people": (30, 100, 300)}


NO_TORCH = (None, "no --torch-python")
Figure = tuple[float | None, str]    # in the row's unit, and what it is; None, and why there is none


def row(what: str, ours: float, unit: str, higher: bool = False, peer: Figure = (None, ""),
        limit: Figure = (None, ""), memory: int | None = None) -> dict[str, Any]:
    """A line of the table."""
    return {"what": what, "ours": ours, "unit": unit, "higher_is_better": higher, "peer": peer[0],
            "peer_is": peer[1], "limit": limit[0], "limit_is": limit[1], "memory": memory}


@contextlib.contextmanager
def generated() -> Iterator[tuple[Path, Path]]:
    """A raw folder of generated people, and room beside it."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "people", "viper", identities=PEOPLE, seed=0)
        yield Path(folder) / "people", Path(folder)


def with_memory(work: Callable[[], object]) -> tuple[float, int]:
    """Seconds that `work` takes, and bytes of memory that it adds to this process at the most."""
    forget_peak()
    before = status("VmRSS")
    return seconds_of(work), status("VmHWM") - before


def size(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def data_prep(options: argparse.Namespace) -> dict[str, Any]:
    """Preparing beside a plain loop, and beside pairs that are written out as pixels.

    The limit of time is a plain loop: each file read, decoded, resized and written, nothing checked. Pairs
    as pixels, as Caffe's siamese example has them: two resized images each; the first pairs are
    written, and the rest is reckoned from them.
    """
    with generated() as (raw, room):
        def ours(store: str) -> tuple[float, int]:
            return with_memory(lambda: prepare("viper", raw, room / store, [0], epochs=EPOCHS, store=store))
        seen = {store: ours(store) for store in ("encoded", "raw")}
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
        for store, (seconds, memory) in seen.items():
            what = f"{len(paths)} images, {EPOCHS} epochs, `--store {store}`"
            rows.append(row(f"{what}: time", seconds, "s", peer=(whole, how),
                            limit=(loop, "images alone, by OpenCV"), memory=memory))
            rows.append(row(f"{what}: on the disk", size(room / store) / MIB, "MiB", peer=(bytes_ / MIB, how),
                            limit=(files / MIB, "the raw files")))
    return {"rows": rows}


def feed(options: argparse.Namespace) -> dict[str, Any]:
    """Crops of 224×224 that a net of PairData alone takes in, by both stores, from warm files.

    Beside it the faster of two ways to make the same crops with PyTorch's DataLoader and as many workers; and
    Caffe's own Data layer, in C++ with a thread of its own. That one crops, mirrors and subtracts the mean,
    but knows neither pairs nor translations, and takes only what is stored raw: it does not resize what it
    decodes. The limit is the one step that none can do without: bytes less the mean, written as floats by one
    core. Memory: of all processes, without files.
    """
    from benchmarks.feed import run  # Caffe, which other entries do without
    rows, seconds, workers = [], 4.0, os.cpu_count()
    with generated() as (raw, room):
        for store in ("encoded", "raw"):
            prepare("viper", raw, room / store, [0], epochs=EPOCHS, store=store)
            settings = run.Source(pairs=str(room / store / "split00/train"),
                                  images=str(room / store / "images"), batch=32, crop=224, height=224,
                                  width=224, mean=(103., 115.9, 123.15), seed=0, phase="train",
                                  workers=workers)
            before, batches = run.memory(), run.caffe_batches(settings)
            run.check(batches, settings)
            ours, _, memory = run.measure(batches, settings, seconds)
            limit = (floats_per_second(64, seconds / 2), "bytes to floats alone")
            peers = [(dataloader(options.torch_python, room / store, workers, seconds),
                      "PyTorch's DataLoader, the same crops") if options.torch_python else NO_TORCH]
            if store == "raw":
                peers.append((run.measure(run.own_batches(settings), settings, seconds)[0],
                              "Caffe's own Data layer"))
            rows += [row(f"`--store {store}`, {workers} workers", ours, "crops/s", True, peer, limit,
                         memory - before) for peer in peers]
    return {"rows": rows}


def floats_per_second(crops: int, seconds: float) -> float:
    """Crops whose bytes one core turns into floats less the mean, a second."""
    pixels, out = np.zeros((crops, 3, 224, 224), np.uint8), np.zeros((crops, 3, 224, 224), np.float32)
    mean, count, started = np.ones((3, 1, 1), np.float32), 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for image, target in zip(pixels, out):
            target[...] = image    # as the feed does it: faster than letting the subtraction convert
            target -= mean
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


def dataloader(python: Path, data: Path, workers: int, seconds: float) -> float:
    """Crops a second of the faster way with PyTorch's DataLoader."""
    # This Python, with the other's PyTorch behind its own packages: both sides read with one LMDB and OpenCV.
    torch = subprocess.run([python, "-c", "import torch; print(torch.__path__[0])"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.strip()
    code = [LOADER.format(torch=str(Path(torch).parent), feed=str(ROOT / "benchmarks/feed"), workers=workers,
                          pairs=str(data / "split00/train"), images=str(data / "images"), seconds=seconds,
                          way=way) for way in ("pair_by_pair", "batch_by_batch")]
    said = [subprocess.run([sys.executable, "-c", one], check=True, stdout=subprocess.PIPE, text=True).stdout
            for one in code]
    return max(float(line.split()[-1]) for line in said)


def train(options: argparse.Namespace) -> dict[str, Any]:
    """A training step of ResNet-50 on one batch in memory, beside PyTorch with the same threads and batch.

    Losses and weights of both are compared before anything is timed (benchmarks/train). The limit is the rate
    of a large float32 matrix product, with bfloat16 twice that, which is what the instruction does: a crop of
    224×224 takes 4.1 · 10⁹ multiply-adds forward, and backward twice as many. In bfloat16 PyTorch is under
    autocast. Memory: of the whole process.
    """
    kinds = ["", ", bfloat16"] if has_bfloat16() else [""]
    names = ["Caffe", *(["PyTorch"] if options.torch_python else [])]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seen.json"
        command = [sys.executable, str(ROOT / "benchmarks/train/run.py"), "--fixed", "--batch",
                   str(options.batch), "--base", "resnet50", "--updates", "4", "--warm-up", "1", "--repeats",
                   "2", "--json", str(file), "--variant", *(name + kind for kind in kinds for name in names)]
        if options.torch_python:
            command += ["--torch-python", str(options.torch_python)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        seen = json.loads(file.read_text())["measured"]["resnet50"]
    pace = product_rate() / (2 * 3 * 2 * 4.1e9)    # pairs: two crops, three passes, two operations
    rates = {name: statistics.median(turn["pairs_per_second"] for turn in turns)
             for name, turns in seen.items()}
    limits = {"": (pace, "the matrix product's rate"), ", bfloat16": (2 * pace, "twice the product's rate")}
    peers = {kind: (rates[f"PyTorch{kind}"], f"PyTorch, {'autocast' if kind else 'eager'}")
             if f"PyTorch{kind}" in rates else NO_TORCH for kind in kinds}
    return {"rows": [row(f"ResNet-50, {options.batch} pairs of 224×224{kind}", rates[f"Caffe{kind}"],
                         "pairs/s", True, peers[kind], limits[kind],
                         max(turn["memory"] for turn in seen[f"Caffe{kind}"])) for kind in kinds]}


def layers(options: argparse.Namespace) -> dict[str, Any]:
    """Where that training step goes: each layer alone, with those that work in place on its blob.

    The limit counts the convolutions' multiplications and additions, forward and twice as many backward, at
    the rate of a large float32 matrix product. Memory: of the whole process.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seen.json"
        command = [sys.executable, ROOT / "benchmarks/train/layers.py", "--input", "224x224", "--batch",
                   str(options.batch), "--repeats", "2", "--json", file]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seen = json.loads(file.read_text())
    convolutions = sum(there + back for kind, _, there, back in seen["kinds"]
                       if kind.startswith("Convolution"))
    least = 1e3 * 3 * seen["operations"] / product_rate()
    return {"rows": [row("Convolutions and what is fused with them, forward and backward", convolutions, "ms",
                         peer=(None, "PyTorch's layers are in its step above"),
                         limit=(least, "the matrix product's rate"), memory=seen["memory"])],
            "text": ended.stdout.partition("\n\n")[2].strip()}


def extract(options: argparse.Namespace) -> dict[str, Any]:
    """Features of stored images by ResNet-50 with random weights, in batches of 8.

    Here: reid.features.extract, from the image LMDB, with images prepared by worker processes. The peers get
    the same images ready in memory: PyTorch with the same weights, OpenCV's dnn with the same prototxt and
    caffemodel. In every process the features are compared with Caffe's before it is timed; the faster of two
    turns counts. The limit is the convolutions' multiplications and additions at the rate of a large float32
    matrix product. Memory: of the whole process.
    """
    rows = []
    for size, images in extraction.IMAGES.items():
        seen = extraction.compare(size, images, 2, options.torch_python)
        ours, *peers = [seen["sides"].get(side) for side in extraction.SIDES]
        limit = (product_rate() / seen["operations"], "the matrix product's rate")
        for side, found in zip(extraction.SIDES[1:], peers):
            peer = (found["images_per_second"], extraction.NAMES[side]) if found else NO_TORCH
            rows.append(row(f"{images} images of {size.replace('x', '×')}", ours["images_per_second"],
                            "images/s", True, peer, limit, int(ours["memory"])))
    return {"rows": rows}


def product_rate() -> float:
    """Operations a second of a large float32 matrix product."""
    a = np.ones((2048, 2048), np.float32)
    return 2 * 2048 ** 3 / min(seconds_of(lambda: a @ a) for _ in range(5))


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Market-1501's evaluation of made-up features: from features in memory to CMC and mAP.

    The limit is the one float32 matrix product of that size, without ranks and scores. The first gallery has
    Market-1501's 3,819 junk images, which are in that product and are not multiplied here; the others have
    none. torchreid takes no junk, and so long for a query that only the first ones are measured; it must
    come to the same rank-1 and mAP. It is 0.2.5 of its pip package, pure Python with --no-deps, of which its
    metrics alone are loaded.
    """
    query, gallery = evaluation.market(2048, evaluation.GALLERY)
    junkless = evaluation.without_junk(gallery)
    rows = []
    for searched, name in ((gallery, "features of 2048"), (junkless, "without junk")):
        product, seconds, memory, _ = evaluation.side_by_side(query, searched, 3)
        rows.append(row(f"{evaluation.QUERIES:,} queries in {len(searched['ids']):,}, {name}", seconds, "s",
                        peer=(None, "torchreid: below"), limit=(product, "the matrix product"),
                        memory=memory))
    query, gallery = {key: array[:FEW] for key, array in query.items()}, junkless
    product, seconds, memory, figures = evaluation.side_by_side(query, gallery, 2)
    if options.torch_python and evaluation.has_torchreid(options.torch_python):
        peer = (evaluation.torchreid(options.torch_python, query, gallery, figures), "torchreid")
    else:
        peer = (None, "no torchreid: `pip install --no-deps torchreid==0.2.5` beside PyTorch")
    rows.append(row(f"{FEW} queries in {len(gallery['ids']):,}, without junk", seconds, "s", peer=peer,
                    limit=(product, "the matrix product"), memory=memory))
    return {"rows": rows}


def report(options: argparse.Namespace) -> dict[str, Any]:
    """The paper's tables beside the measured runs that are committed: HTML, text, Markdown and CSV.

    There is no peer: no other program sets runs beside this paper. The limit is a Python that imports the
    same modules and ends. Memory: of the whole process.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [ROOT / "tools/report.py", "--runs", ROOT / "experiments/measured", "--out", folder]
        seconds, memory = min(child(sys.executable, *command) for _ in range(3))
    start, _ = min(child(sys.executable, "-c", "import tools.report") for _ in range(3))
    return {"rows": [row("`tools/report.py` of `experiments/measured`", seconds, "s",
                         peer=(None, "none exists"), limit=(start, "Python and its imports"), memory=memory)]}


def setup(options: argparse.Namespace) -> dict[str, Any]:
    """From a fresh clone to a Caffe that can be imported: tools/install_caffe.sh with nothing there yet.

    Debian's packages that are installed already are not fetched again; Caffe's source is, and compiled. There
    is no peer and no limit: how long it takes is the compiler's and the network's.
    """
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        seconds, memory = child(clone / "tools/install_caffe.sh", "--cpu")
        child(clone / ".venv/bin/python", "-c", "import caffe")
        bytes_ = size(clone / ".venv") + size(clone / "build")
    none = {"peer": (None, "none"), "limit": (None, "none")}
    return {"rows": [row("`tools/install_caffe.sh` in a fresh clone", seconds, "s", memory=memory, **none),
                     row("`.venv` and `build` on the disk", bytes_ / MIB, "MiB", **none)]}


def child(*command: str | Path) -> tuple[float, int]:
    """Seconds that a command takes, and bytes of memory of the largest of its processes."""
    started = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, ending, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(ending)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return time.perf_counter() - started, 1024 * usage.ru_maxrss


def growth(options: argparse.Namespace) -> dict[str, Any]:
    """Time against size on logarithmic axes; the slope is the power with which cost grows; the limit is 1.

    The first two are Market-1501's evaluation, the others the preparation of generated people. What does not
    grow, such as reading the images where pairs are counted, makes the slope smaller. Memory: at the largest
    size; beside it, where the data stream, at the smallest.
    """
    rows, curves = [], []

    def curve(name: str, unit: str, points: list[tuple[int, tuple[float, int]]], streams: bool) -> None:
        sizes, costs = zip(*points)
        seconds, memory = zip(*costs)
        slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        curves.append({"name": name, "unit": unit, "sizes": sizes, "seconds": seconds, "slope": slope})
        rows.append(row(f"{name}, {sizes[0]:,} to {sizes[-1]:,} {unit}: power of growth", slope, "",
                        peer=(None, "none"), limit=(1, "in proportion"), memory=memory[-1]))
        if streams:
            rows.append(row(f"{name}: memory at the largest", memory[-1] / MIB, "MiB", peer=(None, "none"),
                            limit=(memory[0] / MIB, "at the smallest"), memory=memory[-1]))

    def ranked(queries: int, gallery: int, values: int) -> tuple[float, int]:
        query, searched = evaluation.market(values, gallery)
        query = {key: array[:queries] for key, array in query.items()}
        return with_memory(lambda: evaluation.rank(query, searched))

    curve("gallery", "images", [(n, ranked(50, n, 128)) for n in GROWTH["gallery"]], True)
    curve("feature length", "values",
          [(n, ranked(1000, evaluation.GALLERY, n)) for n in GROWTH["values"]], False)
    with generated() as (raw, room):
        def prepared(out: str, raw: Path, splits: int, epochs: int) -> tuple[float, int]:
            return with_memory(lambda: prepare("viper", raw, room / out, [*range(splits)], epochs=epochs))

        costs = {f"e{n}": prepared(f"e{n}", raw, 1, n) for n in GROWTH["epochs"]}
        totals = [PairStore(room / out / "split00/train").total for out in costs]
        curve("pairs", "pairs", [*zip(totals, costs.values())], False)
        curve("splits", "splits", [(n, prepared(f"s{n}", raw, n, 40)) for n in GROWTH["splits"]], True)
        for n in GROWTH["people"]:
            write(room / f"raw{n}", "viper", identities=n, seed=0)
        curve("identities", "people",
              [(n, prepared(f"p{n}", room / f"raw{n}", 1, 10)) for n in GROWTH["people"]], True)
    return {"rows": rows, "curves": curves}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("entry")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--torch-python", type=Path)
    options = parser.parse_args()
    measure = globals()[options.entry]
    found = measure(options)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({**found, "about": inspect.getdoc(measure), "peak": 1024 * peak}))
