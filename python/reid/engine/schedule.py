"""How long a stage is: epochs of pairs turned into iterations (paper, section III-C.2)."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.common.errors import InputError
from reid.engine.settings import Settings
from reid.formats.pair_lmdb import PairStore


@dataclass(frozen=True)
class Schedule:
    """iterations: of the whole run; lr_final_from: the first one at the final learning rate.

    ends: for each epoch, the number of pairs up to its end; step: pairs in an iteration, one update.
    test_batches: numbers of the batches of held-out pairs to test on, evenly spread over all of them.
    """
    iterations: int
    lr_final_from: int
    ends: np.ndarray
    step: int
    test_batches: tuple[int, ...]

    def epoch(self, iteration: int) -> int:
        """The epoch, from 0, that an iteration's first pair belongs to."""
        return int(np.searchsorted(self.ends, iteration * self.step, side="right"))

    def starts(self) -> list[int]:
        """The iteration, from 0, that each epoch of the run begins with: a list by epoch."""
        starts = [-(-int(end) // self.step) for end in (0, *self.ends[:-1])]
        return [start for start in starts if start < self.iterations]


def schedule(settings: Settings, pairs: PairStore, held_out: PairStore) -> Schedule:
    """The Schedule of `settings` over two PairStores; InputError where fewer epochs were prepared.

    Of `pairs` only offsets and path are used, of `held_out` only total.
    """
    prepared = len(pairs.offsets) - 1
    check_epochs(settings, prepared, pairs.path)
    epochs = prepared if settings.epochs is None else settings.epochs
    last = epochs * 10 / 75 if settings.lr_final_epochs is None else settings.lr_final_epochs
    if last > epochs:
        raise InputError(f"lr_final_epochs is {last}, more than the {epochs} epochs there are")
    step = settings.batch

    def pairs_in(epochs: float) -> int:
        """Pairs of the first `epochs` epochs, a fraction of the last of them included."""
        return round(np.interp(epochs, range(prepared + 1), pairs.offsets))

    def iterations_in(epochs: float) -> int:
        """Iterations that begin in the first `epochs` epochs."""
        return -(-pairs_in(epochs) // step)

    if epochs and step > pairs_in(epochs):
        raise InputError(f"batch is {step}, but {epochs:g} epochs of {pairs.path} are {pairs_in(epochs)} "
                         "pairs; set a smaller batch")

    whole = iterations_in(epochs)
    return Schedule(min(whole, settings.max_iter or whole), iterations_in(epochs - last),
                    np.asarray(pairs.offsets[1:]), step,
                    _spread(max(1, held_out.total // settings.test_batch), settings))


def check_epochs(settings: Settings, prepared: int, where: Path) -> None:
    """InputError where `settings` ask for more epochs than `prepared`, which `where` holds."""
    if settings.epochs is not None and settings.epochs > prepared:
        raise InputError(f"epochs is {settings.epochs:g}, but {where} holds pairs for {prepared}: set "
                         f"epochs={prepared}, or prepare the data with --epochs {math.ceil(settings.epochs)} "
                         "into another --data")


def _spread(batches: int, settings: Settings) -> tuple[int, ...]:
    """Numbers of the test batches, of `batches` in all: as many as `settings.test_pairs` needs."""
    chosen = batches
    if settings.test_pairs is not None:
        chosen = min(batches, -(-settings.test_pairs // settings.test_batch))
    return tuple(i * batches // chosen for i in range(chosen))
