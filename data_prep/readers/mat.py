"""CUHK03's cuhk-03.mat: a MATLAB v7.3 file, which is HDF5, read one picture at a time.

MATLAB keeps arrays with their axes reversed and cell arrays as references. `detected` and `labeled` are 5×1
cells, one for each camera pair, of M×10 cells: M identities, images 1–5 of one view and 6–10 of the other,
some of them empty. `testsets` is a 20×1 cell of T×2 matrices: camera pair and identity, counted from 1.
"""

import hashlib
import os
from pathlib import Path

import h5py
import numpy as np

from reid.common.errors import InputError


class Mat:
    """The file; cells are named in MATLAB's own notation in every error."""

    def __init__(self, path: Path) -> None:
        """Open the .mat; InputError where it is missing, of another version or damaged."""
        self.path, self._references = Path(path), {}
        if not self.path.is_file():
            raise InputError(f"{self.path}: there is no such file; --raw names CUHK03's .mat or its folder")
        if not h5py.is_hdf5(self.path):
            raise InputError(f"{self.path}: {_kind(self.path)}; CUHK03's is a MATLAB 7.3 file: take the "
                             "original, or save it again in MATLAB with '-v7.3'")
        try:
            self._file = h5py.File(os.fsencode(self.path), "r")    # a name need not be UTF-8
        except OSError as error:
            raise self._damaged(f"damaged or cut short ({error})") from error

    def images(self, boxes: str) -> list[tuple[int, int, int]]:
        """Return (camera pair, identity, place) of every image of `boxes`, each counted from 1."""
        return [(pair, number, place) for pair, cells in enumerate(self._pairs(boxes), 1)
                for number in range(1, cells.shape[1] + 1) for place in range(1, 11)
                if self._holds_image(cells[place - 1, number - 1], _name(boxes, pair, number, place))]

    def picture(self, boxes: str, pair: int, number: int, place: int) -> np.ndarray:
        """Return an image, uint8 (H, W, 3) BGR."""
        return self._pixels(boxes, pair, number, place).transpose(2, 1, 0)[:, :, ::-1]

    def checksum(self, boxes: str, pair: int, number: int, place: int) -> str:
        """Return the SHA-256 of an image's pixels as the file keeps them: planes RGB, column after column."""
        return hashlib.sha256(self._pixels(boxes, pair, number, place)).hexdigest()

    def test_sets(self) -> list[list[tuple[int, int]]]:
        """Return the (camera pair, identity) of each test set."""
        sets = []
        for number, reference in enumerate(self._cell("testsets").ravel(), 1):
            name = f"testsets{{{number}}}"
            matrix = self._follow(reference, name)[()]
            if matrix.ndim != 2 or len(matrix) != 2 or not np.array_equal(matrix, matrix.astype(int)):
                raise self._damaged(f"{name} is no matrix of camera pair and identity")
            sets.append([(int(pair), int(identity)) for pair, identity in matrix.T])
        return sets

    def _pairs(self, boxes: str) -> list[np.ndarray]:
        """Return the references to the images of each camera pair, (10, identities) each."""
        if boxes not in self._references:
            pairs = [self._follow(reference, f"{boxes}{{{pair}}}")
                     for pair, reference in enumerate(self._cell(boxes).ravel(), 1)]
            for pair, cells in enumerate(pairs, 1):
                if cells.ndim != 2 or len(cells) != 10 or not _refers(cells):
                    raise self._damaged(f"{boxes}{{{pair}}} is no cell array of ten images an identity")
            self._references[boxes] = [cells[()] for cells in pairs]
        return self._references[boxes]

    def _cell(self, name: str) -> np.ndarray:
        """Return the references of a cell array at the top."""
        stored = self._file.get(name)
        if not isinstance(stored, h5py.Dataset) or not _refers(stored):
            raise self._damaged(f"has no cell array {name}")
        return stored[()]

    def _follow(self, reference: h5py.Reference, name: str) -> h5py.Dataset:
        try:
            stored = self._file[reference]
        except (ValueError, OSError):     # a null reference, or one to nothing
            stored = None
        if not isinstance(stored, h5py.Dataset):
            raise self._damaged(f"the cell {name} is missing")
        return stored

    def _holds_image(self, reference: h5py.Reference, name: str) -> bool:
        """Say whether a cell holds an image. An empty one is kept as a vector: its size."""
        stored = self._follow(reference, name)
        if stored.ndim == 1:
            return False
        if stored.ndim != 3 or len(stored) != 3 or stored.dtype != np.uint8:
            raise self._damaged(f"the cell {name} holds {stored.dtype} {stored.shape[::-1]}, no colour image")
        return True

    def _pixels(self, boxes: str, pair: int, number: int, place: int) -> np.ndarray:
        """Return an image as it is kept, uint8 (3, W, H) RGB."""
        name = _name(boxes, pair, number, place)
        stored = self._follow(self._pairs(boxes)[pair - 1][place - 1, number - 1], name)
        try:
            return stored[()]
        except OSError as error:
            raise self._damaged(f"the cell {name} cannot be read ({error})") from error

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self.path}: {what}; unpack the dataset again")


def _name(boxes: str, pair: int, number: int, place: int) -> str:
    return f"{boxes}{{{pair}}}{{{number},{place}}}"


def _refers(stored: h5py.Dataset) -> bool:
    return h5py.check_ref_dtype(stored.dtype) is h5py.Reference


def _kind(path: Path) -> str:
    """Say what a file is that is not HDF5."""
    with open(path, "rb") as stream:
        start = stream.read(10)
    return "a MATLAB 5.0 file" if start == b"MATLAB 5.0" else "no MATLAB file"
