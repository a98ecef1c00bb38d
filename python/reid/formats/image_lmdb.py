"""The image LMDB: every source image once, a plain Caffe image LMDB that Caffe's own Data layer reads too.

Key "00000000" + the image's place in the index, value a Datum of 3×256×256 uint8 planes (BGR) whose label is
the identity's number. Nothing else is in it, no version either: it is Caffe's format, not ours.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from reid.common.errors import InputError
from reid.formats import datum
from reid.formats.database import Store, Writer

SIZE = 256    # side of a stored image, pixels (paper, section III-C.3)


def image_key(place: int) -> bytes:
    """Return the key of the image at a place of the index."""
    return b"%08d" % place


def write_images(folder: Path, pictures: Iterable[np.ndarray], labels: Sequence[int]) -> None:
    """Write an image LMDB into an empty folder.

    `pictures`: an iterable of uint8 (H, W, 3) BGR, each resized (bilinear) to 256×256; `labels`: one int for
    each.
    """
    with Writer(folder, len(labels) * (SIZE * SIZE * 3 + 8192)) as writer:
        for place, (picture, label) in enumerate(zip(pictures, labels)):
            stored = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
            writer.put(image_key(place), datum.encode(stored, label))


class ImageStore(Store):
    """Random access to an image LMDB; safe to use in forked worker processes."""

    def __init__(self, path: Path) -> None:
        """Open the LMDB at `path`; InputError where it is missing, foreign or cut short."""
        super().__init__(path)
        self._snapshot()
        self._length = self._environment.stat()["entries"]
        self.get(0)

    def __len__(self) -> int:
        return self._length

    def get(self, place: int) -> tuple[np.ndarray, int]:
        """Return the image at a place of the index, uint8 (3, 256, 256) BGR, read-only, and its label."""
        value = self.read(image_key(place))
        if value is None:
            raise self.damaged(f"holds no image {place}")
        try:
            image, label = datum.decode(value)
        except InputError as error:
            raise self.damaged(f"image {place} is {error}") from error
        if image.shape != (3, SIZE, SIZE):
            raise self.damaged(f"image {place} has shape {image.shape}, not {(3, SIZE, SIZE)}")
        return image, label
