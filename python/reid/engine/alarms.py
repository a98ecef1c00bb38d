"""Alarms: signs that a training diverges or learns nothing, each with what to try.

A training that has diverged is stopped. One that learns nothing gets a warning, once: a line in the log and a
row in the run's alarms.csv. The measurements behind the limits: docs/training.md.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import caffe
import numpy as np

from reid.common.errors import InputError
from reid.engine.tables import Table, damaged, read, rows

OVERFLOWED = 87.3             # −log(FLT_MIN) = 87.3365: a softmax overflowed
LARGE, RUINOUS = 0.1, 0.5     # norm of an update of the first layer over that of its weights; normal: 0.013
WINDOW = 300                  # iterations in which a head has to learn something
MOVED, WORSE = 0.98, 1.005    # mean loss against guessing: above, nothing is learnt; worse
TRY = "try a lower lr, a clip_gradients of 35 or 10, or a lower verif_scale (0.1)"


@dataclass(frozen=True)
class Head:
    """A head whose loss is watched.

    scores: the blob that goes into its softmax; nothing, worse: what to try where it learns nothing, or is
    worse than guessing.
    """
    name: str
    scores: str
    nothing: str
    worse: str


HEADS = {
    "loss_id_a": Head(
        "identification", "id_fc_a",
        "a larger lr or id_lr_mult, or a lower verif_scale where clip_gradients leaves "
        "identification too small a share", "a lower lr or id_lr_mult"),
    "loss_verif": Head(
        "verification", "verif_fc", "a larger verif_scale, verif_lr_mult or lr",
        "a lower verif_scale, verif_lr_mult or lr, or a lower clip_gradients")}


class Alarms:
    """The alarms of one training.

    A resume changes nothing: an update's size needs no history, and the losses of the last WINDOW iterations
    are read from losses.csv.
    """

    def __init__(self, net: caffe.Net, run: Path, done: int, log: Callable[[str], None]) -> None:
        """net: the training net; run: folder, losses.csv in it ends at `done`; log: function of a line."""
        self.run, self.log = run, log
        self.table = Table(run / "alarms.csv", done)
        self.given = {alarm["alarm"] for alarm in alarms(run)}
        # The gradients of all other layers pass into the backbone's first layer.
        self.layer, (self.weights, *_) = next(iter(net.params.items()))
        self.classes = {loss: net.blobs[head.scores].shape[1] for loss, head in HEADS.items()
                        if head.scores in net.blobs}
        before = read(run / "losses.csv")
        self.recent = {loss: deque(before.get(loss, [])[-WINDOW:], WINDOW) for loss in self.classes}

    def check(self, iteration: int, losses: Mapping[str, float]) -> None:
        """Check the losses {name: value} of an iteration, and the update that it has just made.

        Raises InputError where the training has diverged; earlier snapshots are kept.
        """
        self._check_update(iteration)
        for loss, values in self.recent.items():
            values.append(losses[loss])
            if iteration % WINDOW == 0 and len(values) == WINDOW:
                self._check_moved(iteration, loss, sum(values) / WINDOW)

    def _check_update(self, iteration: int) -> None:
        """Check the size of the update, with momentum and clipping.

        After solver.step the diff holds what was subtracted from the weights: a few thousand numbers, cheap
        even to copy from a GPU. The gradient's own history would tell less: a normal gradient grows
        thirtyfold in the first hundred iterations.
        """
        size = float(np.linalg.norm(self.weights.diff) / np.linalg.norm(self.weights.data))
        what = f"exploding gradients: one update changed {self.layer} by {size:.0%} of its weights"
        if not size < RUINOUS:
            raise InputError(f"iteration {iteration}: the training diverged, {what}. " + _way_out(self.run))
        if size > LARGE:
            self._warn(iteration, "exploding gradients",
                       f"{what}. If losses jump, stop and {TRY} in a new --out")

    def _check_moved(self, iteration: int, loss: str, mean: float) -> None:
        """Warn where the mean loss of the last WINDOW iterations is no better than guessing."""
        head, guess = HEADS[loss], math.log(self.classes[loss])
        if mean < MOVED * guess:
            return
        alarm, way_out = (("is worse than guessing", head.worse) if mean > WORSE * guess else
                          ("learns nothing", head.nothing))
        self._warn(iteration, f"{head.name} {alarm}",
                   f"the mean of {loss} over the last {WINDOW} iterations is {mean:.3f}, and guessing gives "
                   f"log {self.classes[loss]} = {guess:.3f}; try {way_out}")

    def _warn(self, iteration: int, alarm: str, text: str) -> None:
        if alarm not in self.given:
            self.given.add(alarm)
            self.table.write(iteration, alarm=alarm, text=text)
            self.log(f"warning: iteration {iteration}: {text}")


def stop_if_diverged(iteration: int, losses: Mapping[str, float], run: Path) -> None:
    """Raise InputError where a loss is not finite or its softmax overflowed; snapshots are kept."""
    if any(not math.isfinite(value) or value > OVERFLOWED for value in losses.values()):
        listed = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        raise InputError(f"iteration {iteration}: the training diverged ({listed}). " + _way_out(run))


def alarms(run: Path) -> list[dict[str, Any]]:
    """The alarms of a run, in order.

    [{"iteration": int, "alarm": its name, "text": what was seen and what to try}].
    """
    file, found = run / "alarms.csv", []
    for line, row in enumerate(rows(file), 2):
        if not row.keys() >= {"iteration", "alarm", "text"} or not row["iteration"].isdecimal():
            raise damaged(file, line, "is no alarm")
        found.append({**row, "iteration": int(row["iteration"])})
    return found


def _way_out(run: Path) -> str:
    return f"Snapshots in {run / 'snapshots'} are from before; {TRY} in a new --out"
