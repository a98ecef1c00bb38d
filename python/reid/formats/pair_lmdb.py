"""The pair LMDB: for every epoch, which two images the net sees together and how each of them is augmented.

Key "meta" (JSON), "labels" (int32, the class of every image among the training identities, −1 for the others)
and "epoch/00000" … (arrays of PAIR).
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from reid.formats import json_record
from reid.formats.database import Store, Writer
from reid.formats.json_record import Count

FORMAT = 1
PAIR = np.dtype([("a", "<u4"), ("b", "<u4"), ("a_dy", "i1"), ("a_dx", "i1"), ("b_dy", "i1"), ("b_dx", "i1"),
                 ("a_flip", "u1"), ("b_flip", "u1"), ("same", "i1")])
"""One pair, 15 bytes. `a`, `b`: places of the images in the index. `*_dy`, `*_dx`: translation in pixels of
the stored 256×256 image; content moves down by dy and right by dx, and the edge is repeated into the border
that opens. `*_flip`: 1 where the image is mirrored. `same`: class of the verification softmax, SAME,
DIFFERENT or NOT_JUDGED.
"""

SAME, DIFFERENT, NOT_JUDGED = 0, 1, -1


def epoch_key(epoch: int) -> bytes:
    """Return the key of an epoch's pairs."""
    return b"epoch/%05d" % epoch


@dataclass(frozen=True, kw_only=True)
class Meta:
    """The facts that a pair LMDB holds about itself.

    dataset, split, seed, schedule, flip: as in the manifest; role: "train" or "test"; classes: training
    identities; images: in the index; pairs_per_epoch, ratio_per_epoch: pairs, and negatives per positive, of
    each of the `epochs`; fixed_windows: the translations are those of fixed crops, and no other is drawn.
    """
    format: Count = FORMAT
    dataset: str
    split: Count
    seed: Count
    schedule: str
    classes: Count
    images: Count
    role: Literal["train", "test"]
    epochs: Count
    flip: bool
    pairs_per_epoch: list[Count] = field(default_factory=list)
    ratio_per_epoch: list[float] = field(default_factory=list)
    fixed_windows: bool = False


def write_pairs(folder: Path, meta: Meta, labels: np.ndarray, epochs: list[np.ndarray]) -> None:
    """Write a pair LMDB into an empty folder; `meta` is completed with the counts of each epoch."""
    meta = replace(meta, epochs=len(epochs), pairs_per_epoch=[len(pairs) for pairs in epochs],
                   ratio_per_epoch=[ratio_of(pairs) for pairs in epochs])
    size = sum(pairs.nbytes + 8192 for pairs in epochs) + labels.nbytes + 8192
    with Writer(folder, size) as writer:
        for number, pairs in enumerate(epochs):
            writer.put(epoch_key(number), pairs.astype(PAIR).tobytes())
        writer.put(b"labels", labels.astype("<i4").tobytes())
        writer.put(b"meta", json.dumps(_plain(meta)).encode())


def ratio_of(pairs: np.ndarray) -> float:
    """Negatives per positive of an epoch's PAIRs."""
    return round(int(np.sum(pairs["same"] == 1)) / int(np.sum(pairs["same"] == 0)), 6)


def _plain(meta: Meta) -> dict:
    """As JSON has it; that windows are drawn is said by silence, as it was before they could be fixed."""
    return {key: value for key, value in asdict(meta).items() if value or key != "fixed_windows"}


class PairStore(Store):
    """Random access to a pair LMDB.

    `meta`: Meta; `labels`: int32 (images,); `offsets`: int64 (epochs + 1,), the place of each epoch's first
    pair in the concatenation of all epochs; `total`: pairs in all.
    """

    def __init__(self, path: Path) -> None:
        """Open the LMDB at `path`; InputError where it is missing, of another format or cut short."""
        super().__init__(path)
        self.meta = self._read_meta()
        self.labels = self._array(b"labels", np.dtype("<i4"), self.meta.images)
        counts = self.meta.pairs_per_epoch
        self.offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.total = int(self.offsets[-1])
        for number in range(len(counts)):
            self.epoch(number)

    def epoch(self, number: int) -> np.ndarray:
        """Return the pairs of an epoch, PAIR (pairs_per_epoch[number],), a read-only view."""
        return self._array(epoch_key(number), PAIR, self.meta.pairs_per_epoch[number])

    def _read_meta(self) -> Meta:
        value = self.read(b"meta")
        if value is None:
            raise self.damaged("not a pair LMDB (it holds no meta)")
        try:
            content = json.loads(bytes(value))
            known = content["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise self.damaged("not a pair LMDB (its meta does not parse)") from error
        if known != FORMAT:
            raise self.damaged(f"pair format {known}; this version reads format {FORMAT}")
        meta = json_record.check(Meta, content, self.path, "prepare the data again")
        if not len(meta.pairs_per_epoch) == len(meta.ratio_per_epoch) == meta.epochs:
            raise self.damaged(f"its meta has {len(meta.pairs_per_epoch)} counts of pairs and "
                               f"{len(meta.ratio_per_epoch)} ratios for {meta.epochs} epochs")
        return meta

    def _array(self, key: bytes, dtype: np.dtype, length: int) -> np.ndarray:
        value = self.read(key)
        if value is None or len(value) != length * dtype.itemsize:
            there = "nothing" if value is None else f"{len(value)} bytes"
            raise self.damaged(f"{key.decode()} holds {there}, not {length * dtype.itemsize} bytes")
        return np.frombuffer(value, dtype)
