"""The image LMDB: every source image once, a plain Caffe image LMDB that Caffe's own Data layer reads too.

Key "00000000" + the image's place in the index, value a Datum whose label is the identity's number. Nothing
else is in it, no version either: it is Caffe's format, not ours. A Datum is of one of two kinds, which may
stand side by side; to a reader of this module both are the same 3×256×256 uint8 planes (BGR):

raw       the planes, 192 KiB
encoded   the bytes of the image file, decoded and resized (bilinear) each time it is read
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from reid.common.errors import InputError
from reid.formats import datum
from reid.formats.database import Store, Writer

SIZE = 256    # side of a stored image, pixels (paper, section III-C.3)
AHEAD = 2 ** 24    # bytes that are asked for ahead of what is read in order
STEP = 2 ** 17    # bytes of one such request: the kernel cuts larger ones short


def image_key(place: int) -> bytes:
    """Return the key of the image at a place of the index."""
    return b"%08d" % place


def write_images(folder: Path, pictures: Iterable[np.ndarray | bytes], labels: Sequence[int]) -> None:
    """Write an image LMDB into an empty folder.

    `pictures`: uint8 (H, W, 3) BGR, which is resized (bilinear) to 256×256 and stored raw, or the bytes of an
    image file, at most as many as the raw planes, which are stored as they are; `labels`: one for each.
    """
    with Writer(folder, len(labels) * (SIZE * SIZE * 3 + 8192)) as writer:
        for place, (picture, label) in enumerate(zip(pictures, labels)):
            if isinstance(picture, bytes):
                value = datum.encode_file(picture, label)
            else:
                value = datum.encode(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), label)
            writer.put(image_key(place), value)


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
        if isinstance(image, tuple):
            return _resized(image), label
        if image.shape != (3, SIZE, SIZE):
            raise self.damaged(f"image {place} has shape {image.shape}, not {(3, SIZE, SIZE)}")
        return image, label

    def in_order(self, places: Iterable[int]) -> Iterator[tuple[np.ndarray, int]]:
        """Yield what `get` returns for each place; ascending places are read ahead from the disk.

        For places in any other order the images are the same, but the disk is waited for.
        """
        asked = 0
        for place in places:
            asked = self.ask_ahead(place, asked)
            yield self.get(place)

    def ask_ahead(self, place: int, asked: int) -> int:
        """Ask the disk for what follows an image, for whatever process reads it.

        The values lie in the file in the order of their places, so that a place says about where. asked: what
        the call before returned, 0 at first.
        """
        here = self._bytes() * place // max(1, len(self))
        if here + AHEAD // 2 <= asked:
            return asked
        for piece in range(max(0, asked, here - STEP), here + AHEAD, STEP):
            os.posix_fadvise(self._file.fileno(), piece, STEP, os.POSIX_FADV_WILLNEED)
        return here + AHEAD


def _resized(planes: tuple[np.ndarray, ...]) -> np.ndarray:
    """Planes of any size, uint8 (H, W), as one array (3, 256, 256), read-only.

    Plane by plane it is the same to the byte as resizing the picture whole, and takes half the time.
    """
    image = np.empty((3, SIZE, SIZE), np.uint8)
    for plane, resized in zip(planes, image):
        cv2.resize(plane, (SIZE, SIZE), dst=resized, interpolation=cv2.INTER_LINEAR)
    image.flags.writeable = False
    return image
