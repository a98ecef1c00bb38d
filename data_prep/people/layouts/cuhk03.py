"""CUHK03's layouts: `cuhk-03.mat`, a MATLAB v7.3 file of nested cell arrays, and its two extracted forms.

At 1,467 people the numbers are the real dataset's: 14,097 detected and 14,096 labeled images, 20 test sets of
100 people. With fewer people they are in proportion.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

import cv2
import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from data_prep.people.draw import track
from data_prep.people.layouts.share import in_proportion
from data_prep.readers import cuhk03
from reid.common.rng import generator

_SIZE = (64, 160)
_HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Wed Mar 18 10:00:00 2015 HDF5 schema 1.00 ."


def write_mat(folder: Path, people: list[int], tested: int | None) -> dict:
    """Write cuhk-03.mat; return the counts, which GENERATED.json takes up."""
    counts = _counts(people)
    path = folder / "cuhk-03.mat"
    with _Sink(path) as sink, h5py.File(sink, "w", userblock_size=512, libver="earliest") as file:
        mat = _MatWriter(file, sink)
        cells = {boxes: [np.full((10, identities), None) for identities in counts["pairs"]]
                 for boxes in cuhk03.BOXES}
        for boxes, pair, number, place, picture in _images(people, counts):
            cells[boxes][pair - 1][place - 1, number - 1] = mat.array(picture)
        for boxes, pairs in cells.items():
            mat.cell(boxes, [[mat.cell(None, pair) for pair in pairs]])
        mat.cell("testsets", [[mat.doubles(test_set) for test_set in _test_sets(people, counts, tested)]])
    with open(path, "r+b") as stream:     # MATLAB's own header, in the block that HDF5 leaves to its user
        stream.write(_HEADER.ljust(124) + b"\x00\x02IM")
    return {"counts": counts}


def write_long(folder: Path, people: list[int], tested: int | None) -> dict:
    """Write detected/ and labeled/ with <pair>_<identity>_<view>_<n>.png; return the counts."""
    return _write_files(folder, people, lambda pair, number, place, _:
                        f"{pair}_{number:03d}_{1 if place <= 5 else 2}_{place:02d}.png")


def write_short(folder: Path, people: list[int], tested: int | None) -> dict:
    """Write detected/ and labeled/ with IIII_KK.jpg, counted from 0 through all pairs; return the counts."""
    return _write_files(folder, people, lambda pair, number, place, pairs:
                        f"{sum(pairs[:pair - 1]) + number - 1:04d}_{place - 1:02d}.jpg")


def _write_files(folder: Path, people: list[int], name: Callable[[int, int, int, list[int]], str]) -> dict:
    counts = _counts(people)
    for boxes in cuhk03.BOXES:
        (folder / boxes).mkdir()
    for boxes, pair, number, place, picture in _images(people, counts):
        path = folder / boxes / name(pair, number, place, counts["pairs"])
        path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    return {"counts": counts}


def _counts(people: list[int]) -> dict:
    real = cuhk03.COUNTS
    cells = 10 * sum(real["pairs"])
    return {"pairs": in_proportion(len(people), real["pairs"])} | {
        boxes: round(len(people) * 10 * real[boxes] / cells) for boxes in cuhk03.BOXES}


def _addresses(pairs: list[int]) -> list[tuple[int, int]]:
    """Return (camera pair, identity in the pair), counted from 1, of everybody; `pairs`: people of each."""
    return [(pair, number) for pair, people in enumerate(pairs, 1) for number in range(1, people + 1)]


def _images(people: list[int], counts: dict) -> Iterator[tuple[str, int, int, int, np.ndarray]]:
    """Yield every image: (boxes, camera pair, identity in the pair, place from 1 to 10, picture)."""
    empty = {boxes: _empty_places(people, counts[boxes], boxes) for boxes in cuhk03.BOXES}
    for person, (pair, number) in enumerate(_addresses(counts["pairs"])):
        views = [track(people[person], camera, 10, _SIZE) for camera in (1, 2)]
        for first, boxes in enumerate(cuhk03.BOXES):
            pictures = [picture for view in views for picture in view[first::2]]
            for place, picture in enumerate(pictures, 1):
                if (person, place) not in empty[boxes]:
                    yield boxes, pair, number, place, _of_any_size(picture, people[person], place)


def _empty_places(people: list[int], images: int, boxes: str) -> set[tuple[int, int]]:
    """Return the (person, place) without an image; the first of each view is always there."""
    may_be_empty = [(person, place) for person in range(len(people)) for place in (2, 3, 4, 5, 7, 8, 9, 10)]
    order = generator(people[0], f"empty {boxes}").permutation(len(may_be_empty))
    return {may_be_empty[number] for number in order[:10 * len(people) - images]}


def _of_any_size(picture: np.ndarray, person: int, place: int) -> np.ndarray:
    """Scale a picture by up to 15 %: CUHK03's boxes all have a size of their own."""
    factor = generator(person, "size", place).uniform(.85, 1.15, 2)
    return cv2.resize(picture, None, fx=factor[0], fy=factor[1], interpolation=cv2.INTER_AREA)


def _test_sets(people: list[int], counts: dict, tested: int | None) -> list[np.ndarray]:
    """Return 20 test sets, each float64 (T, 2): camera pair and identity, of pairs 1 to 3."""
    addresses = np.array(_addresses(counts["pairs"][:cuhk03.PAIRS_SPLIT]), float)
    if tested is None:
        tested = cuhk03.DATASET.rule(None).tested(len(addresses))
    return [addresses[generator(people[0], "test set", number).permutation(len(addresses))[:tested]]
            for number in range(cuhk03.TEST_SETS)]


class _Sink(io.FileIO):
    """A new file for HDF5 in which no write fails: HDF5 crashes when it cleans up after a failed one.

    The first failure is kept, and raised by `check` and at the end of the `with` block.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.failure = None

    def write(self, content: bytes | memoryview) -> int:
        """Write all of it, or keep the failure."""
        left = memoryview(content).cast("B")
        size = len(left)
        try:
            while left and not self.failure:
                left = left[super().write(left):]
        except OSError as error:
            self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or keep the failure."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def check(self) -> None:
        """Raise the OSError of the first write that failed."""
        if self.failure:
            raise self.failure

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        self.check()


class _MatWriter:
    """Writes arrays as MATLAB lays them out in HDF5: axes reversed, cells as references into #refs#."""

    def __init__(self, file: h5py.File, sink: _Sink) -> None:
        self.file, self.sink, self.refs = file, sink, file.create_group("#refs#")
        self.empty = self._value([0, 0], np.uint64, b"double", MATLAB_empty=np.uint8(1))

    def array(self, picture: np.ndarray) -> h5py.Reference:
        """Store a picture, uint8 (H, W, 3) BGR, as MATLAB's H×W×3 RGB."""
        return self._value(picture[:, :, ::-1].transpose(2, 1, 0), np.uint8, b"uint8", compression=3)

    def doubles(self, matrix: np.ndarray) -> h5py.Reference:
        """Store a matrix of doubles."""
        return self._value(matrix.T, np.float64, b"double")

    def cell(self, name: str | None, references: Iterable[Iterable[h5py.Reference | None]]) -> h5py.Reference:
        """Store a cell array, axes already reversed; None in it is an empty cell. No name: inside another."""
        filled = [[self.empty if cell is None else cell for cell in row] for row in references]
        return self._value(filled, h5py.ref_dtype, b"cell", name)

    def _value(self, value: ArrayLike, dtype: DTypeLike, kind: bytes, name: str | None = None,
               compression: int | None = None, **attributes: np.generic) -> h5py.Reference:
        group = self.refs if name is None else self.file
        stored = group.create_dataset(name or f"{len(self.refs):06d}", data=np.asarray(value, dtype),
                                      compression=compression)
        stored.attrs["MATLAB_class"] = np.bytes_(kind)
        for key, setting in attributes.items():
            stored.attrs[key] = setting
        self.sink.check()
        return stored.ref
