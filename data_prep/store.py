"""The two databases: images (a plain Caffe image LMDB) and pairs (references into it).

An image LMDB holds each source image once: key "00000000" + the image's place in the index, value a Datum of
3×256×256 uint8 planes (BGR) whose label is the identity's number. Nothing else is in it, so Caffe's own Data
layer reads it too. A pair LMDB holds "meta" (JSON), "labels" (int32, the class of every image among the
training identities, −1 for the others) and "epoch/00000" … (arrays of PAIR).
"""

import json
import os
from pathlib import Path

import cv2
import lmdb
import numpy as np

from data_prep import datum
from data_prep.errors import InputError
from data_prep.pairs import PAIR

SIZE = 256
FORMAT = 1
_IMAGES_PER_COMMIT = 256


def image_key(place: int) -> bytes:
    """Return the key of the image at a place of the index."""
    return b"%08d" % place


def epoch_key(epoch: int) -> bytes:
    """Return the key of an epoch's pairs."""
    return b"epoch/%05d" % epoch


def write_images(folder: Path, pictures, labels) -> None:
    """Write an image LMDB into an empty folder.

    `pictures`: an iterable of uint8 (H, W, 3) BGR, each resized (bilinear) to 256×256; `labels`: one int for
    each.
    """
    with _Writer(folder, len(labels) * (SIZE * SIZE * 3 + 8192)) as writer:
        for place, (picture, label) in enumerate(zip(pictures, labels)):
            stored = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
            writer.put(image_key(place), datum.encode(stored, label))


def write_pairs(folder: Path, meta: dict, labels: np.ndarray, epochs: list[np.ndarray]) -> None:
    """Write a pair LMDB into an empty folder; `meta` is completed with format and counts per epoch."""
    positive = [int(np.sum(pairs["same"] == 0)) for pairs in epochs]
    negative = [int(np.sum(pairs["same"] == 1)) for pairs in epochs]
    meta = {"format": FORMAT, **meta, "pairs_per_epoch": [len(pairs) for pairs in epochs],
            "ratio_per_epoch": [round(n / p, 6) for n, p in zip(negative, positive)]}
    size = sum(pairs.nbytes + 8192 for pairs in epochs) + labels.nbytes + 8192
    with _Writer(folder, size) as writer:
        for number, pairs in enumerate(epochs):
            writer.put(epoch_key(number), pairs.astype(PAIR).tobytes())
        writer.put(b"labels", labels.astype("<i4").tobytes())
        writer.put(b"meta", json.dumps(meta).encode())


class _Writer:
    """Fills one LMDB in key order; keys must come sorted, which keeps the file free of holes."""

    def __init__(self, folder: Path, size: int):
        self.folder, self.count = Path(folder), 0
        try:
            self.environment = lmdb.open(str(folder), map_size=size + (1 << 20), lock=False)
            self.transaction = self.environment.begin(write=True)
        except lmdb.Error as error:
            raise self._failure(error) from error

    def put(self, key: bytes, value: bytes) -> None:
        try:
            self.transaction.put(key, value, append=True)
            self.count += 1
            if self.count % _IMAGES_PER_COMMIT == 0:
                self.transaction.commit()
                self.transaction = self.environment.begin(write=True)
        except lmdb.Error as error:
            raise self._failure(error) from error

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.transaction.commit()
            else:
                self.transaction.abort()
        except lmdb.Error as failure:
            raise self._failure(failure) from failure
        finally:
            self.environment.close()

    def _failure(self, error: lmdb.Error) -> InputError:
        return InputError(f"{self.folder}: cannot be written ({error}); free disk space there, or choose "
                          "another --out")


class _Kept:
    """The bytes of a value and the transaction they lie in.

    NumPy holds on to this as long as an array looks into the bytes. LMDB's own views do not keep the file
    mapped: such an array would crash the process once its store is gone.
    """

    def __init__(self, value: memoryview, transaction: lmdb.Transaction):
        self.__array_interface__ = np.frombuffer(value, np.uint8).__array_interface__
        self.transaction = transaction


class _Store:
    """A read-only LMDB, opened at first use in each process: an LMDB handle must not cross a fork."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self._process = None
        if not (self.path / "data.mdb").is_file():
            raise InputError(f"{self.path}: there is no LMDB here; write it with `python -m data_prep`")

    def read(self, key: bytes) -> memoryview | None:
        """Return a view of a value, None where it is empty or the key is not there."""
        transaction = self._snapshot()
        value = transaction.get(key)
        return memoryview(np.asarray(_Kept(value, transaction))) if value else None

    def _snapshot(self) -> lmdb.Transaction:
        if self._process != os.getpid():
            try:
                self._environment = lmdb.open(str(self.path), readonly=True, lock=False, readahead=False)
                self._transaction = self._environment.begin(buffers=True)
            except lmdb.Error as error:
                raise self.damaged(f"not an LMDB that can be read: {error}") from error
            self._check_length()
            self._process = os.getpid()
        return self._transaction

    def _check_length(self) -> None:
        """Reading past the end of a file that was cut short would kill the process with a bus error."""
        pages = self._environment.info()["last_pgno"] + 1
        needed, there = pages * self._environment.stat()["psize"], (self.path / "data.mdb").stat().st_size
        if there < needed:
            raise self.damaged(f"cut short: {there} of {needed} bytes")

    def damaged(self, what: str) -> InputError:
        return InputError(f"{self.path}: {what}; delete the folder it lies in and prepare the data again")


class ImageStore(_Store):
    """Random access to an image LMDB; safe to use in forked worker processes."""

    def __init__(self, path: Path):
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


class PairStore(_Store):
    """Random access to a pair LMDB.

    `meta`: dict; `labels`: int32 (images,); `offsets`: int64 (epochs + 1,), the place of each epoch's first
    pair in the concatenation of all epochs; `total`: pairs in all.
    """

    def __init__(self, path: Path):
        """Open the LMDB at `path`; InputError where it is missing, of another format or cut short."""
        super().__init__(path)
        self.meta = self._read_meta()
        self.labels = self._array(b"labels", np.dtype("<i4"), self.meta["images"])
        counts = self.meta["pairs_per_epoch"]
        self.offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.total = int(self.offsets[-1])
        for number in range(len(counts)):
            self.epoch(number)

    def epoch(self, number: int) -> np.ndarray:
        """Return the pairs of an epoch, PAIR (pairs_per_epoch[number],), a read-only view."""
        return self._array(epoch_key(number), PAIR, self.meta["pairs_per_epoch"][number])

    def _read_meta(self) -> dict:
        value = self.read(b"meta")
        if value is None:
            raise self.damaged("not a pair LMDB (it holds no meta)")
        try:
            meta = json.loads(bytes(value))
            known = meta["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise self.damaged("not a pair LMDB (its meta does not parse)") from error
        if known != FORMAT:
            raise self.damaged(f"pair format {known}; this version reads format {FORMAT}")
        return meta

    def _array(self, key: bytes, dtype: np.dtype, length: int) -> np.ndarray:
        value = self.read(key)
        if value is None or len(value) != length * dtype.itemsize:
            there = "nothing" if value is None else f"{len(value)} bytes"
            raise self.damaged(f"{key.decode()} holds {there}, not {length * dtype.itemsize} bytes")
        return np.frombuffer(value, dtype)
