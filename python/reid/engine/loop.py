"""The training loop of one split of one stage (paper, section III-C.2)."""

import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import caffe
import numpy as np
from tqdm import tqdm

from reid.common.rng import generator
from reid.engine import snapshots
from reid.engine.alarms import Alarms, stop_if_diverged
from reid.engine.schedule import Schedule
from reid.engine.settings import Settings
from reid.engine.tables import Table, cut_back
from reid.formats import snapshot


def train(solver: caffe.SGDSolver, run: Path, settings: Settings, schedule: Schedule,
          evaluate: Callable[[], Mapping[str, float]], log: Callable[[str], None],
          trained_with: dict[str, Any]) -> tuple[Path, float]:
    """Train up to schedule.iterations in the folder `run`, from its newest snapshot where there is one.

    solver: its backbone holds the weights to start from; it has one test net. evaluate: called every
    `evaluate_every` iterations, returns the CMC of the test identities as {"1": …}. log: takes a line.
    trained_with: the settings and inputs, stored in every snapshot. Returns the folder of the last snapshot
    and the seconds spent in updates. Raises InputError where the training diverges, and KeyboardInterrupt,
    after a snapshot, on Ctrl-C or SIGTERM.
    """
    net, held_out = solver.net, solver.test_nets[0]
    seconds, folder = 0.0, snapshots.newest(run, log)
    if folder:
        snapshots.restore(solver, folder)
        snapshots.tidy(run, settings.keep_snapshots, solver.iter)    # of a kill right after a snapshot
        kept = snapshot.read(folder)
        seconds = kept.seconds
        cut_back(run, kept)
        log(f"resuming from {folder}")
    net.layers[0].seek(solver.iter * settings.passes)
    losses, tests, ranks = (Table(run / name, solver.iter)
                            for name in ("losses.csv", "test.csv", "evaluation.csv"))
    write_epochs(run, schedule, net.layers[0].feed.pairs.meta.ratio_per_epoch)
    alarms = Alarms(net, run, solver.iter, log)
    recent = deque(maxlen=settings.display)    # of the last updates: seconds, losses
    passes = Passes(net)

    def test_and_rank(asked: Sequence[int]) -> None:
        """Test the weights on held-out pairs and on the test identities, each where due and not done."""
        last = solver.iter == schedule.iterations
        if (settings.test_every and (last or solver.iter % settings.test_every == 0)
                and tests.last < solver.iter):
            values = test(held_out, net, len(schedule.test_batches), asked)
            if values is None:
                return
            tests.write(solver.iter, **values)
            log(f"held-out pairs: {describe(values)}")
        if (settings.evaluate_every and (last or solver.iter % settings.evaluate_every == 0)
                and ranks.last < solver.iter):
            values = {f"rank_{k}": share for k, share in evaluate().items()}
            ranks.write(solver.iter, **values)
            log(f"test identities: {describe(values)}")

    def save() -> Path:
        """Take a snapshot, after the rows of the tables are on the disk: a power cut cannot lose them."""
        for table in (losses, tests, ranks, alarms.table):
            table.sync()
        return snapshots.save(solver, run, settings.keep_snapshots, seconds, trained_with)

    held_out.layers[0].feed.order = schedule.test_batches
    stopping = False
    with asked_to_stop() as asked, passes, Prefetch(solver):
        if solver.iter:
            test_and_rank(asked)    # a kill may have come between the snapshot and this
            stopping = bool(asked)
        while solver.iter < schedule.iterations and not stopping:
            # One update. A snapshot does not hold the state of Caffe's own generator, which draws the dropout
            # masks; so that generator gets a new seed in every iteration.
            caffe.set_random_seed(int(generator(settings.seed, "caffe", solver.iter).integers(2 ** 31)))
            epoch, rate = schedule.epoch(solver.iter), solver.lr
            began = time.monotonic()
            solver.step(1)
            took = time.monotonic() - began
            seconds += took

            # The losses of this update, before it changed the weights
            values, worst = passes.losses()
            recent.append((took, values))
            losses.write(solver.iter, epoch=epoch, lr=rate, **values)
            stop_if_diverged(solver.iter, worst, run)
            alarms.check(solver.iter, values)

            last = solver.iter == schedule.iterations
            if last or solver.iter % settings.display == 0:
                log(progress(solver.iter, schedule, recent))
            # The snapshot comes first: a test can take minutes, and a kill in it then costs no update.
            due = last or bool(asked) or solver.iter % settings.snapshot_every == 0
            if due:
                folder = save()
            test_and_rank(asked)
            stopping = bool(asked)    # looked at once: a signal after it is the next iteration's
            if stopping and not due:
                folder = save()

    if asked:    # at the last iteration too, whose tests may not have been made
        log(f"stopped at iteration {solver.iter}, and kept {folder}: the same command resumes from there")
        raise KeyboardInterrupt
    return folder, seconds


class Prefetch:
    """Each next batch is read while a card still computes the gradients of this one.

    Caffe calls back when it has asked the card for them; on a CPU they are computed by then, so nothing is
    gained there and nothing lost. Used as a context, since a solver never lets go of a callback.
    """

    def __init__(self, solver: caffe.SGDSolver) -> None:
        self.solver = solver

    def __enter__(self) -> None:
        self.solver.add_callback(lambda: None, self._read)

    def __exit__(self, *error: object) -> None:
        self.solver = None

    def _read(self) -> None:
        if self.solver:
            net = self.solver.net
            net.layers[0].prefetch(net.blobs["data"])


class Passes:
    """The losses of every pass of an update, of which Caffe itself keeps only those of the last.

    Used as a context: within it the training net's data layer reports the start of every pass.
    """

    def __init__(self, net: caffe.Net) -> None:
        self.net, self.ended, self.begun = net, [], 0

    def __enter__(self) -> None:
        self.net.layers[0].before_batch = self._begin

    def __exit__(self, *error: object) -> None:
        self.net.layers[0].before_batch = None

    def losses(self) -> tuple[dict[str, float], dict[str, float]]:
        """{name: value} for the last update, twice: the means over its passes, and the largest values."""
        values = [*self.ended, self._read()]
        self.ended, self.begun = [], 0
        return tuple({name: float(of([one[name] for one in values])) for name in values[0]}
                     for of in (np.mean, np.max))

    def _begin(self) -> None:
        if self.begun:
            self.ended.append(self._read())
        self.begun += 1

    def _read(self) -> dict[str, float]:
        return {name: float(self.net.blobs[name].data) for name in self.net.outputs}


def test(held_out: caffe.Net, net: caffe.Net, batches: int,
         asked: Sequence[int] = ()) -> dict[str, float] | None:
    """The means of the test net's outputs over its first `batches` batches, with the weights of `net`.

    None where a signal came into `asked` before the last of them.
    """
    held_out.share_with(net)
    held_out.layers[0].seek(0)
    totals = dict.fromkeys(held_out.outputs, 0.0)
    for _ in tqdm(range(batches), "held-out pairs", unit="batch", leave=False, disable=None):
        if asked:
            return None
        for name, value in held_out.forward().items():
            totals[name] += float(value) / batches
    return totals


def write_epochs(run: Path, schedule: Schedule, ratios: Sequence[float]) -> None:
    """Write epochs.csv: the first iteration of every epoch, and its ratio of different pairs to same ones."""
    epochs = Table(run / "epochs.csv", 0)
    for epoch, start in enumerate(schedule.starts()):
        epochs.write(start + 1, epoch=epoch, ratio=ratios[epoch])
    epochs.close()


def progress(iteration: int, schedule: Schedule, recent: Sequence[tuple[float, dict[str, float]]]) -> str:
    """A line of progress: the iteration, the mean of each recent loss, pairs per second, the time left."""
    each = sum(took for took, _ in recent) / len(recent)
    losses = {name: sum(values[name] for _, values in recent) / len(recent) for name in recent[0][1]}
    left = timedelta(seconds=round(each * (schedule.iterations - iteration)))
    return (f"iteration {iteration}/{schedule.iterations}  {describe(losses)}  "
            f"{schedule.step / each:.1f} pairs/s  {left} left")


def describe(values: Mapping[str, float]) -> str:
    """{name: number} as text, with three decimals."""
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


@contextlib.contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """Yield a list that stays empty until Ctrl-C or SIGTERM comes, so that an update is never interrupted."""
    asked = []
    before = {s: signal.signal(s, lambda number, frame: asked.append(number))
              for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
