"""Images of an image LMDB, each through a function of its pixels, prepared ahead by worker processes."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from reid.formats.image_lmdb import ImageStore
from reid.layers.workers import batches

BATCH = 8      # images at a time; with ResNet-50 on a CPU 16 are only 2 % faster, and each image takes memory
FEW = 8 * BATCH    # so many images are no work for processes of their own


class ImageFeed:
    """A `reid.layers.workers.Feed` of the images at `indices` of an ImageStore, in batches of BATCH.

    function: from an image, uint8 (3, 256, 256) BGR, to an array of `shape` and `dtype`; mean, workers: as
    the Feed's. What lies behind the last image in the last batch is of no meaning.
    """

    def __init__(self, images: ImageStore, indices: Sequence[int],
                 function: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...],
                 dtype: type[np.generic], mean: tuple[float, float, float] | None = None,
                 workers: int = 0) -> None:
        self.images, self.indices, self.function = images, indices, function
        self.shape, self.dtype, self.mean = (BATCH, *shape), dtype, mean
        self.workers = workers if len(indices) > FEW else 0

    def fill(self, k: int, batch: np.ndarray) -> None:
        """Write batch k."""
        for place, out in zip(self.places(k), batch):
            out[...] = self.function(self.images.get(place)[0])

    def places(self, k: int) -> list[int]:
        """The indices of batch k, fewer than BATCH in the last one and none after it."""
        return list(self.indices[k * BATCH:(k + 1) * BATCH])

    def read(self, target: Callable[[], np.ndarray]) -> Iterator[list[int]]:
        """Yield the places of each batch in turn, once it is written into the array that `target` returns.

        It is asked for each batch: a blob that was on a GPU has to be asked for its memory here anew.
        """
        ready, asked = batches(self), 0
        try:
            for k in range(-(-len(self.indices) // BATCH)):
                asked = self.images.ask_ahead(self.places(k)[0], asked)
                ready.read(target())
                yield self.places(k)
        finally:
            ready.close()
