"""The training loop of one split of one stage."""

import contextlib
import signal
import time
from collections import deque
from datetime import timedelta

import caffe
import numpy as np
from tqdm import tqdm

from reid.common.rng import generator
from reid.engine import snapshots
from reid.engine.alarms import Alarms, stop_if_diverged
from reid.engine.tables import Table, cut_back
from reid.formats import snapshot


def train(solver, run, settings, schedule, evaluate, log, trained_with):
    """Train up to schedule.iterations in the folder `run`, from its newest snapshot where there is one.

    solver: caffe.SGDSolver whose trunk holds the weights to start from, with one test net.
    evaluate: function without arguments, called every `evaluate_every` iterations; the CMC of the test
    identities as {"1": …}. log: function of a line. trained_with: what was asked for, kept in every snapshot.
    Returns the folder of the last snapshot and the seconds spent in updates. Raises InputError where the
    training diverges, and KeyboardInterrupt, after a snapshot, where Ctrl-C or SIGTERM asked for it.
    """
    net, held_out = solver.net, solver.test_nets[0]
    seconds, folder = 0.0, snapshots.newest(run, log)
    if folder:
        snapshots.restore(solver, folder)
        kept = snapshot.read(folder)
        seconds = kept.seconds
        cut_back(run, kept)
        log(f"going on from {folder}")
    net.layers[0].seek(solver.iter * settings.passes)
    losses, tests, ranks = (Table(run / name, solver.iter)
                            for name in ("losses.csv", "test.csv", "evaluation.csv"))
    write_epochs(run, schedule, net.layers[0].feed.pairs.meta.ratio_per_epoch)
    alarms = Alarms(net, run, solver.iter, log)
    recent = deque(maxlen=settings.display)    # of the last updates: seconds, losses
    passes = Passes(net)

    def look(asked):
        """Judge the weights as they are, where that is due and not done.

        By held-out pairs and by the test identities.
        """
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

    def save():
        """Take a snapshot; a power cut leaves none whose rows are lost."""
        for table in (losses, tests, ranks, alarms.table):
            table.sync()
        return snapshots.save(solver, run, settings.keep_snapshots, seconds, trained_with)

    held_out.layers[0].feed.order = schedule.test_batches
    stopping = False
    with asked_to_stop() as asked, passes:
        if solver.iter:
            look(asked)    # a kill may have come between the snapshot and this
            stopping = bool(asked)
        while solver.iter < schedule.iterations and not stopping:
            # One update. A snapshot does not hold the state of Caffe's own generator, which draws the dropout
            # masks; with a seed for every iteration there is nothing to hold.
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
            # The snapshot comes first: what looks at the weights can take minutes, and a kill costs
            # only that.
            due = last or bool(asked) or solver.iter % settings.snapshot_every == 0
            if due:
                folder = save()
            look(asked)
            if asked and not due:
                folder = save()
            stopping = bool(asked)

    if solver.iter < schedule.iterations:
        log(f"stopped at iteration {solver.iter}, and kept {folder}: the same command goes on from there")
        raise KeyboardInterrupt
    return folder, seconds


class Passes:
    """The losses of every pass of an update; Caffe keeps those of the last one alone.

    A context: within it the training net's data layer says when a pass begins, and so when one has ended.
    """

    def __init__(self, net):
        self.net, self.ended, self.begun = net, [], 0

    def __enter__(self):
        self.net.layers[0].before_batch = self._begin

    def __exit__(self, *error):
        self.net.layers[0].before_batch = None

    def losses(self) -> tuple[dict[str, float], dict[str, float]]:
        """{name: value} of the update that was just made: the means over its passes, and the largest."""
        values = [*self.ended, self._read()]
        self.ended, self.begun = [], 0
        return tuple({name: float(of([one[name] for one in values])) for name in values[0]}
                     for of in (np.mean, np.max))

    def _begin(self):
        if self.begun:
            self.ended.append(self._read())
        self.begun += 1

    def _read(self):
        return {name: float(self.net.blobs[name].data) for name in self.net.outputs}


def test(held_out, net, batches, asked=()):
    """The means of the test net's outputs over its first `batches` batches, with the weights of `net`.

    None where `asked` is no longer empty before the last of them.
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


def write_epochs(run, schedule, ratios):
    """Write epochs.csv: the first iteration of every epoch, and its different pairs to each same one."""
    epochs = Table(run / "epochs.csv", 0)
    for epoch, start in enumerate(schedule.starts()):
        epochs.write(start + 1, epoch=epoch, ratio=ratios[epoch])
    epochs.close()


def progress(iteration, schedule, recent):
    """A line: how far, the mean of the recent losses by name, how fast and how long still."""
    each = sum(took for took, _ in recent) / len(recent)
    losses = {name: sum(values[name] for _, values in recent) / len(recent) for name in recent[0][1]}
    left = timedelta(seconds=round(each * (schedule.iterations - iteration)))
    return (f"iteration {iteration}/{schedule.iterations}  {describe(losses)}  "
            f"{schedule.step / each:.1f} pairs/s  {left} left")


def describe(values):
    """{name: number} as a phrase, three decimals each."""
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


@contextlib.contextmanager
def asked_to_stop():
    """Yields a list that is empty until Ctrl-C or SIGTERM comes: an update is never cut in half."""
    asked = []
    before = {s: signal.signal(s, lambda number, frame: asked.append(number))
              for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
