r"""What the training loop costs over bare solver.step.

Blocks of both in turn, same net, same pairs, one process:

    .venv/bin/python benchmarks/overhead/run.py --data DIR --base tiny
    .venv/bin/python benchmarks/overhead/run.py --data DIR --base resnet50 --init FILE \
        --input 128x64 --batch 4

README.md beside this file says how it is measured and what came of it.
"""
import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from reid.engine.settings import Settings

os.environ.setdefault("GLOG_minloglevel", "2")  # Caffe reads it when it is imported

import caffe
import numpy as np

from reid.common.errors import Parser, command_line
from reid.engine.loop import train
from reid.engine.schedule import Schedule
from reid.engine.settings import defaults, override
from reid.formats.pair_lmdb import PairStore
from reid.layers.source import Source
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import test_net, train_net
from reid.nets.heads import Heads
from reid.nets.solver import solver

# the second: of this process, without its workers
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


@command_line
def main() -> None:
    options = parse_options()
    iterations = options.block * (options.blocks + 1)
    asked = [f"evaluate_every={options.block}", "test_every=0", f"snapshot_every={iterations}",
             "workers=1", "lr=1e-6",
             *(f"{key}={value}" for key in ("batch", "input") if (value := getattr(options, key)))]
    settings = override(defaults(options.base), asked)
    print(f"{options.base}, {settings.batch} pairs of {settings.input.height}x{settings.input.width}, blocks "
          f"of {options.block} iterations; load of the machine {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        driven, bare = (make_solver(Path(folder) / name, options, settings) for name in ("driven", "bare"))
        mine, theirs, inside = measure(driven, bare, Path(folder) / "driven", settings, options, iterations)
        for each in (driven, bare):
            each.net.layers[0].close()
    for number, clock in enumerate(CLOCKS):
        ratios = mine[:, number] / theirs[:, number]
        low, middle, high = 100 * (np.percentile(ratios, (25, 50, 75)) - 1)
        print(f"{clock:9}  bare {1e3 * np.median(theirs[:, number]) / options.block:8.2f} ms an iteration   "
              f"overhead {middle:+.2f} %, middle half of {options.blocks} pairs of blocks {low:+.2f} to "
              f"{high:+.2f} %")
        outside = (mine - inside)[:, number]
        print(f"{'':9}  outside solver.step {1e6 * np.median(outside) / options.block:.0f} µs an iteration, "
              f"{100 * np.median(outside / inside[:, number]):.2f} % of the time inside it")
    print(f"load of the machine at the end {os.getloadavg()[0]:.1f}")


def parse_options() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True,
                        help="folder that data_prep wrote; split 0 is used")
    parser.add_argument("--base", choices=BACKBONES, default="tiny")
    parser.add_argument("--init", type=Path, help="caffemodel to start from; without it, random weights")
    parser.add_argument("--input", metavar="HxW", help="size of the net's input (default: the base's)")
    parser.add_argument("--batch", type=int, help="pairs in an iteration (default: the base's)")
    parser.add_argument("--block", type=int, default=25, help="iterations in a block (default: 25)")
    parser.add_argument("--blocks", type=int, default=20,
                        help="blocks of each, after one to warm up (default: 20)")
    return parser.parse_args()


def make_solver(folder: Path, options: argparse.Namespace, settings: Settings) -> caffe.SGDSolver:
    """A solver as a run has it, its prototxt files in `folder`."""
    folder.mkdir()
    split = options.data.resolve() / "split00"
    heads = Heads("vi", PairStore(split / "train").meta.classes, verif_scale=settings.verif_scale,
                  verif_lr_mult=settings.verif_lr_mult)
    for phase, write in (("train", train_net), ("test", test_net)):
        source = Source(str(split / phase), str(options.data.resolve() / "images"), settings.batch,
                        settings.crop, *settings.input, list(settings.mean), seed=0, workers=settings.workers)
        (folder / f"{phase}.prototxt").write_text(str(write(options.base, heads, source)))
    (folder / "solver.prototxt").write_text(str(solver(
        folder / "train.prototxt", folder / "test.prototxt", lr=settings.lr, lr_final=settings.lr,
        lr_final_from=10 ** 9,
        max_iter=10 ** 9, iter_size=1, momentum=settings.momentum, weight_decay=settings.weight_decay,
        clip_gradients=settings.clip_gradients, test_iter=1, test_interval=10 ** 9, display=0, snapshot=0,
        snapshot_prefix=folder / "snapshots/.caffe/snapshot", seed=1)))
    made = caffe.SGDSolver(str(folder / "solver.prototxt"))
    if options.init:
        made.net.copy_from(str(options.init))
    else:
        fill(made.net)
    return made


def fill(net: caffe.Net) -> None:
    """Random weights with which values stay finite in any backbone, even one that needs trained ones."""
    draw = np.random.default_rng(0)
    for blobs in net.params.values():
        weights = blobs[0].data
        if len(blobs) == 3:                      # BatchNorm: means 0, variances 1
            blobs[1].data[...] = blobs[2].data[...] = 1
        # half of what keeps the size of values: residual blocks add to it
        elif weights.ndim == 4:
            weights[...] = draw.normal(0, .5 * weights[0].size ** -.5, weights.shape)


def measure(driven: caffe.SGDSolver, bare: caffe.SGDSolver, folder: Path, settings: Settings,
            options: argparse.Namespace, iterations: int) -> list[np.ndarray]:
    """Seconds of every block: of the training loop, of bare steps, of the loop inside solver.step.

    Each an array (blocks, clocks). The loop calls for an evaluation after every block: the next bare block is
    run there.
    """
    mine, theirs, inside, steps, began = [], [], [], [], [now()]
    step = driven.step

    def clocked(count: int) -> None:
        start = now()
        step(count)
        steps.append(now() - start)

    def block() -> dict[str, float]:
        mine.append(now() - began[0])
        inside.append(np.sum(steps, axis=0))
        steps.clear()
        start = now()
        bare.step(options.block)
        theirs.append(now() - start)
        began[0] = now()
        return {"1": 0.0}

    driven.step = clocked
    plan = Schedule(iterations, 10 ** 9, np.asarray(PairStore(options.data / "split00/train").offsets[1:]),
                    settings.batch, (0,))
    train(driven, folder, settings, plan, block, lambda line: None, {})
    # What happens once is in the first.
    return [np.array(seconds[1:]) for seconds in (mine, theirs, inside)]


def now() -> np.ndarray:
    return np.array([clock() for clock in CLOCKS.values()])


if __name__ == "__main__":
    sys.exit(main())
