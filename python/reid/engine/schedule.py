"""How long a stage is: epochs of pairs turned into iterations (paper, section III-C.2)."""

from dataclasses import dataclass

import numpy as np

from reid.common.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """iterations: of the whole run; lr_final_from: the first one at the final learning rate.

    ends: for each epoch, the number of pairs up to its end; step: pairs in an iteration, one update.
    test_batches: numbers of the batches of held-out pairs that are looked at, evenly spread over all of them.
    """
    iterations: int
    lr_final_from: int
    ends: np.ndarray
    step: int
    test_batches: tuple[int, ...]

    def epoch(self, iteration):
        """The epoch, from 0, that an iteration's first pair belongs to."""
        return int(np.searchsorted(self.ends, iteration * self.step, side="right"))

    def starts(self):
        """The iteration, from 0, that each epoch of the run begins with: a list by epoch."""
        starts = [-(-int(end) // self.step) for end in (0, *self.ends[:-1])]
        return [start for start in starts if start < self.iterations]


def schedule(settings, pairs, held_out):
    """The Schedule of `settings` over two PairStores; InputError where fewer epochs were prepared.

    Of `pairs` only offsets and path are looked at, of `held_out` only total.
    """
    prepared = len(pairs.offsets) - 1
    epochs = prepared if settings.epochs is None else settings.epochs
    if epochs > prepared:
        raise InputError(f"epochs is {epochs}, but {pairs.path} holds pairs for {prepared}: "
                         f"set epochs={prepared} or prepare the data with --epochs {epochs}")
    last = epochs * 10 / 75 if settings.lr_final_epochs is None else settings.lr_final_epochs
    if last > epochs:
        raise InputError(f"lr_final_epochs is {last}, more than the {epochs} epochs there are")
    step = settings.batch

    def iterations_in(epochs):
        """Iterations that begin in the first `epochs` epochs, a fraction of the last of them included."""
        end = round(np.interp(epochs, range(prepared + 1), pairs.offsets))
        return -(-end // step)

    whole = iterations_in(epochs)
    return Schedule(min(whole, settings.max_iter or whole), iterations_in(epochs - last),
                    np.asarray(pairs.offsets[1:]), step,
                    _spread(max(1, held_out.total // settings.test_batch), settings))


def _spread(batches: int, settings) -> tuple[int, ...]:
    """Numbers of the batches, of so many, that `settings.test_pairs` allows."""
    looked_at = batches
    if settings.test_pairs is not None:
        looked_at = min(batches, -(-settings.test_pairs // settings.test_batch))
    return tuple(i * batches // looked_at for i in range(looked_at))
