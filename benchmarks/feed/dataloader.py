"""The same batches by PyTorch's DataLoader: same LMDBs, same crops, floats in the main process."""
import dataclasses
from collections.abc import Iterator

import numpy as np
import torch

from reid.layers.feed import PairFeed
from reid.layers.source import Source


class Batches(torch.utils.data.Dataset):
    """Item k is batch k of a PairFeed, uint8 (2N, 3, height, width)."""

    def __init__(self, settings: Source) -> None:
        self.feed = PairFeed(settings)

    def __len__(self) -> int:
        return self.feed.pairs.total // self.feed.settings.batch

    def __getitem__(self, k: int) -> torch.Tensor:
        settings = self.feed.settings
        crops = np.empty((2 * settings.batch, 3, settings.height, settings.width), np.uint8)
        self.feed.fill(k, crops)
        return torch.from_numpy(crops)


def pair_by_pair(settings: Source) -> Iterator[np.ndarray]:
    """The usual way: an item is a pair, and the loader collates N of them."""
    pairs = Batches(dataclasses.replace(settings, batch=1))
    return _floats(pairs, settings, batch_size=settings.batch, drop_last=True)


def batch_by_batch(settings: Source) -> Iterator[np.ndarray]:
    """The loader's best case: an item is a whole batch, so that nothing is collated."""
    return _floats(Batches(settings), settings, batch_size=None)


def _floats(dataset: Batches, settings: Source, **how: object) -> Iterator[np.ndarray]:
    how = {"num_workers": settings.workers, "persistent_workers": True, **how}
    loader = torch.utils.data.DataLoader(dataset, **how)
    mean = torch.tensor(settings.mean).reshape(3, 1, 1)
    out = torch.empty(2 * settings.batch, 3, settings.height, settings.width)
    halves = out.view(2, settings.batch, *out.shape[1:])
    while True:
        for crops in loader:
            # Collated pairs come as (N, 2, …), whole batches as the stack that is wanted.
            halves.copy_(crops.transpose(0, 1)) if crops.dim() == 5 else out.copy_(crops)
            yield out.sub_(mean).numpy()
