r"""Which scale, clipping and learning rate let the verification head learn.

The runs behind the defaults of reid.nets.backbones. Trains the same net on the same pairs once per variant,
from the same weights and seed, and prints for each when it diverged or what its losses came to. Results and
what was concluded from them: docs/verification-head.md.

    .venv/bin/python benchmarks/verification_head/run.py --data DIR --base resnet50 --init FILE \
        --input 128x64 --pairs 8 --iterations 150 --variant 1,-1,10 --variant 0.1,35,10
"""
import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
import numpy as np
from tqdm import trange

from reid.formats.pair_lmdb import PairStore
from reid.layers.source import Source
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import test_net, train_net
from reid.nets.heads import Heads
from reid.nets.solver import solver

OVERFLOW = 87.33  # -log(FLT_MIN): what a softmax loss prints when its input overflowed
WINDOW = 50       # iterations that a reported loss is the mean of


def losses_of(arguments: argparse.Namespace, scale: float, clip: float, lr_mult: float,
              folder: Path) -> np.ndarray:
    """Losses of one variant, (iterations done, 2): identification (mean of both branches), verification."""
    base, split = BACKBONES[arguments.base], Path(arguments.data) / "split00"
    height, width = arguments.input or (base.height, base.width)
    heads = Heads("vi", PairStore(split / "train").meta.classes, verif_scale=scale, verif_lr_mult=lr_mult)
    for phase, write in (("train", train_net), ("test", test_net)):
        source = Source(str(split / phase), str(Path(arguments.data) / "images"), arguments.pairs, 224,
                        height, width, base.mean, seed=0, workers=1)
        (folder / f"{phase}.prototxt").write_text(str(write(arguments.base, heads, source)))
    settings = solver(folder / "train.prototxt", folder / "test.prototxt", lr=0.001, lr_final=0.0001,
                      lr_final_from=10 ** 6, max_iter=arguments.iterations, iter_size=1, momentum=0.9,
                      weight_decay=0.0005, clip_gradients=clip, test_iter=1, test_interval=10 ** 6,
                      display=0, snapshot=0, snapshot_prefix=folder / "none", seed=1)
    (folder / "solver.prototxt").write_text(str(settings))
    run = caffe.get_solver(str(folder / "solver.prototxt"))
    if arguments.init:
        run.net.copy_from(arguments.init)
    rows, blobs = [], run.net.blobs
    for _ in trange(arguments.iterations, desc=f"s {scale:g}, clip {clip:g}, lr_mult {lr_mult:g}",
                    leave=False):
        run.step(1)
        rows.append([(float(blobs["loss_id_a"].data) + float(blobs["loss_id_b"].data)) / 2,
                     float(blobs["loss_verif"].data)])
        if not np.all(np.isfinite(rows[-1])) or max(rows[-1]) > OVERFLOW:
            break
    run.net.layers[0].close()
    return np.array(rows)


def size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="what data_prep wrote; split 0 is used")
    parser.add_argument("--base", choices=BACKBONES, required=True)
    parser.add_argument("--init", help="caffemodel to start from; without it, from random weights")
    parser.add_argument("--input", type=size, metavar="HxW", help="size of the net's input")
    parser.add_argument("--pairs", type=int, default=8, help="pairs an iteration")
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--variant", action="append", required=True, metavar="S,CLIP,LR_MULT",
                        help="scale s, clip_gradients (-1: none), lr_mult of the verification fc; may be "
                             "repeated")
    arguments = parser.parse_args()
    print(f"{arguments.base}, {arguments.pairs} pairs an iteration, lr 0.001; losses are means of {WINDOW} "
          "iterations")
    print("| s | clip_gradients | verification lr_mult | identification: first, last | "
          "verification: first, last, worst | s/iteration |")
    print("| --- | --- | --- | --- | --- | --- |")
    for variant in arguments.variant:
        scale, clip, lr_mult = map(float, variant.split(","))
        started = time.time()
        with tempfile.TemporaryDirectory() as folder:
            rows = losses_of(arguments, scale, clip, lr_mult, Path(folder))
        seconds = (time.time() - started) / len(rows)
        if len(rows) < arguments.iterations:
            outcome = (f"{rows[0, 0]:.2f}, diverged at iteration {len(rows)} | "
                       f"{rows[0, 1]:.2f}, {rows[-1, 1]:.2f}, -")
        else:
            first, last = rows[:WINDOW].mean(axis=0), rows[-WINDOW:].mean(axis=0)
            outcome = f"{first[0]:.2f}, {last[0]:.2f} | {first[1]:.3f}, {last[1]:.3f}, {rows[:, 1].max():.2f}"
        print(f"| {scale:g} | {'none' if clip < 0 else f'{clip:g}'} | {lr_mult:g} | {outcome} | "
              f"{seconds:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
