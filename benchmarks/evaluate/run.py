"""Market-1501's evaluation beside the one float32 matrix product that no evaluation can do without.

    .venv/bin/python benchmarks/evaluate/run.py

README.md beside this file says what is measured and how to get torchreid.
"""
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import forget_peak, status
from benchmarks.timing import seconds_of, timed
from reid.common.errors import InputError, Parser, command_line
from reid.metrics import protocol
from reid.metrics.single_shot import exact
from reid.metrics.summary import summary

QUERIES, JUNK, DISTRACTORS, GALLERY = 3368, 3819, 2798, 19732    # Market-1501's test set
PEOPLE, CAMERAS = 750, 6
MIB = 2 ** 20


@command_line
def main() -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--values", type=int, default=2048,
                        help="length of a feature (default: 2048, ResNet-50's)")
    parser.add_argument("--repeats", type=int, default=5,
                        help="runs of which the fastest counts (default: 5)")
    parser.add_argument("--torch-python", type=Path, metavar="FILE",
                        help="a Python with PyTorch and torchreid; default: without it")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; fastest of {options.repeats}")
    query, gallery = market(options.values, GALLERY)
    print(f"{QUERIES} x {GALLERY} features of {options.values}")
    _, whole = beside_the_product(query, gallery, options.repeats)
    gallery = without_junk(gallery)
    print(f"without junk, {len(gallery['ids'])}")
    product, _ = beside_the_product(query, gallery, options.repeats)
    if options.torch_python:
        theirs = torchreid(options.torch_python, query, gallery, rank(query, gallery))
        print(f"  torchreid              {theirs:7.2f} s  {theirs / product:5.2f} x the product; "
              "the same rank-1 and mAP")
    ten_times = JUNK + 10 * len(gallery["ids"])
    del gallery
    large, memory = alone(query, market(options.values, ten_times)[1], max(1, options.repeats // 2))
    print(f"10 x what is not junk    {large:7.2f} s  {large / whole:5.2f} x the time, "
          f"{memory / MIB:.0f} MiB over the features")
    cuhk03()
    return 0


def beside_the_product(query: dict[str, np.ndarray], gallery: dict[str, np.ndarray],
                       repeats: int) -> tuple[float, float]:
    """Print and return the seconds of product and evaluation (side_by_side)."""
    product, seconds, memory, _ = side_by_side(query, gallery, repeats)
    print(f"  the product alone      {product:7.2f} s")
    print(f"  ranked and scored      {seconds:7.2f} s  {seconds / product:5.2f} x the product, "
          f"{memory / MIB:.0f} MiB over the features")
    return product, seconds


def market(values: int, gallery_size: int) -> list[dict[str, np.ndarray]]:
    """[query, gallery] as dicts of features, ids and cams, made up like Market-1501's.

    Junk comes first, as by name there. What a gallery has more than Market-1501's are distractors, as in its
    500,000. The features of a person lie around one point, so that matches come early but not always first.
    """
    rng = np.random.default_rng(0)
    points = rng.standard_normal((PEOPLE + 1, values), dtype=np.float32)
    strangers = gallery_size - GALLERY + DISTRACTORS
    people = rng.integers(1, PEOPLE + 1, gallery_size - JUNK - strangers)
    counted = rng.permutation(np.concatenate([people, np.zeros(strangers, int)]))
    gallery_ids = np.concatenate([np.full(JUNK, -1), counted])
    sides = []
    query_ids = rng.integers(1, PEOPLE + 1, QUERIES)
    for ids in (query_ids, gallery_ids):
        features = rng.standard_normal((len(ids), values), dtype=np.float32)
        features *= 4
        for start in range(0, len(ids), 4096):    # without a copy of the whole
            block = ids[start:start + 4096]
            features[start:start + 4096] += points[block.clip(0)] * (block > 0)[:, None]
        sides.append({"features": features, "ids": ids, "cams": rng.integers(1, CAMERAS + 1, len(ids))})
    return sides


def rank(query: dict[str, np.ndarray], gallery: dict[str, np.ndarray]) -> dict[str, Any]:
    """All that is timed: distances, ranks, CMC and both mAPs."""
    return summary(protocol.rank("market1501", query, gallery))


def side_by_side(query: dict[str, np.ndarray], gallery: dict[str, np.ndarray],
                 repeats: int) -> tuple[float, float, int, dict[str, Any]]:
    """Seconds of product and evaluation, each the fastest of alternate runs; the latter's memory, figures."""
    products, evaluations = [], []
    for _ in range(repeats):
        # written: no page faults
        out = np.ones((len(query["features"]), len(gallery["features"])), np.float32)
        product = partial(np.matmul, query["features"], gallery["features"].T, out=out)
        products.append(seconds_of(product))
        del out, product
        forget_peak()
        before = status("VmRSS")
        seconds, figures = timed(lambda: rank(query, gallery))
        evaluations.append((seconds, status("VmHWM") - before))
    return min(products), min(evaluations)[0], max(memory for _, memory in evaluations), figures


def alone(query: dict[str, np.ndarray], gallery: dict[str, np.ndarray], repeats: int) -> tuple[float, int]:
    """Seconds, the fastest of the repeats, and memory of the evaluation."""
    forget_peak()
    before = status("VmRSS")
    return min(seconds_of(lambda: rank(query, gallery)) for _ in range(repeats)), status("VmHWM") - before


def without_junk(gallery: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What torchreid can take of a gallery: it knows no junk."""
    kept = gallery["ids"] != -1
    return {name: array[kept] for name, array in gallery.items()}


def has_torchreid(python: Path) -> bool:
    """Whether a Python has torchreid and what its metrics need."""
    looked = subprocess.run([python, Path(__file__).with_name("peer.py")], capture_output=True)
    return looked.returncode == 0


def torchreid(python: Path, query: dict[str, np.ndarray], gallery: dict[str, np.ndarray],
              figures: dict[str, Any]) -> float:
    """Seconds of the same by torchreid, which knows mAP as step only; its figures must be ours."""
    with tempfile.TemporaryDirectory() as folder:
        for side, part in (("query", query), ("gallery", gallery)):
            np.savez(Path(folder) / f"{side}.npz", **part)
        ended = subprocess.run([python, Path(__file__).with_name("peer.py"), folder], check=True, text=True,
                               stdout=subprocess.PIPE)
    seen = json.loads(ended.stdout.splitlines()[-1])
    ours = [figures["cmc"]["1"], figures["mAP"]["step"]]
    if not np.allclose(seen["figures"], ours, atol=1e-4):
        raise InputError(f"torchreid says rank-1 and mAP {seen['figures']}, and this project {ours}")
    return seen["seconds"]


def cuhk03() -> None:
    """Exact single-shot on 20 splits of CUHK03's size: 100 identities, 5 images in each of two views."""
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(100), 5)
    splits = [rng.random((500, 500)) + .4 * (ids[:, None] != ids) for _ in range(20)]
    seconds = seconds_of(lambda: [summary(exact(distances, ids, ids)) for distances in splits])
    print(f"CUHK03, 20 splits exact  {seconds:7.2f} s")


if __name__ == "__main__":
    sys.exit(main())
