"""One short training, with nothing of a run's folder: the losses, and the net, while it lasts."""
import os
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is the same in all trials of a series; `init`: None for random weights, `input`: height, width."""
    data: Path
    base: str
    init: Path | None
    input: tuple[int, int]
    pairs: int
    iterations: int


def losses(trial: Trial, folder: Path, clip: float, seed: int = 0,
           **heads: float) -> tuple[np.ndarray, caffe.Net, float]:
    """Train in the empty `folder`; returns losses (iterations done, 2), the net, and a first layer's size.

    Losses: identification (mean of both branches), verification; fewer rows than trial.iterations where it
    diverged. heads: of reid.nets.heads.Heads. The last is the largest update of the first layer, against its
    weights (docs/training.md, Alarms).
    """
    base, split = BACKBONES[trial.base], Path(trial.data) / "split00"
    made = Heads("vi", PairStore(split / "train").meta.classes, **heads)
    for phase, write in (("train", train_net), ("test", test_net)):
        source = Source(str(split / phase), str(Path(trial.data) / "images"), trial.pairs, 224,
                        *trial.input, base.mean, seed=seed, workers=1)
        (folder / f"{phase}.prototxt").write_text(str(write(trial.base, made, source)))
    settings = solver(folder / "train.prototxt", folder / "test.prototxt", lr=0.001, lr_final=0.0001,
                      lr_final_from=10 ** 6, max_iter=trial.iterations, iter_size=1, momentum=0.9,
                      weight_decay=0.0005, clip_gradients=clip, test_iter=1, test_interval=10 ** 6,
                      display=0, snapshot=0, snapshot_prefix=folder / "none", seed=seed + 1)
    (folder / "solver.prototxt").write_text(str(settings))
    run = caffe.get_solver(str(folder / "solver.prototxt"))
    if trial.init:
        run.net.copy_from(str(trial.init))
    rows, blobs, largest = [], run.net.blobs, 0.0
    first = next(iter(run.net.params.values()))[0].data
    for _ in trange(trial.iterations, desc=f"{heads}, clip {clip:g}", leave=False, disable=None):
        before = first.copy()
        run.step(1)
        rows.append([(float(blobs["loss_id_a"].data) + float(blobs["loss_id_b"].data)) / 2,
                     float(blobs["loss_verif"].data)])
        largest = max(largest, float(np.linalg.norm(first - before) / np.linalg.norm(before)))
        if not np.all(np.isfinite(rows[-1])) or max(rows[-1]) > OVERFLOW:
            break
    run.net.layers[0].close()
    return np.array(rows), run.net, largest
