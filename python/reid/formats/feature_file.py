"""Feature files: an .npz of features (N, D) float32, ids (N,), cams (N,) and optionally names (N,)."""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from reid.common.errors import InputError
from reid.common.files import is_utf_8, write_whole
from reid.common.machine import memory
from reid.metrics.distance import lengths
from reid.metrics.features import Features


def write_features(path: Path, features: ArrayLike, ids: ArrayLike, cams: ArrayLike,
                   names: ArrayLike) -> None:
    """Write a feature file; it appears whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, features=np.asarray(features, np.float32), ids=np.array(ids), cams=np.array(cams),
             names=np.array(names))
    write_whole(path, buffer.getvalue())


def read_features(path: Path | str) -> Features:
    """The Features in a file; InputError names the file and what is wrong with it.

    features: finite numbers; ids: whole numbers or strings; cams: whole numbers from 0.
    """
    if not Path(path).is_file() and Path(path).exists():
        raise InputError(f"{path}: is not a file; give a feature file (.npz)")
    _check_size(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("one of its entries is no array")
    except Exception as error:    # what NumPy and zipfile raise at a damaged file is of a dozen kinds
        raise InputError(f"{path}: cannot be read as a feature file (.npz): {error}") from None
    missing = {"features", "ids", "cams"} - set(arrays)
    if missing:
        raise InputError(f"{path}: lacks the arrays {sorted(missing)}; it holds {sorted(arrays)}")
    features = arrays["features"]
    for name in {"ids", "cams", "names"} & set(arrays):
        if features.ndim != 2 or not features.size or arrays[name].shape != features.shape[:1]:
            raise InputError(f"{path}: features {features.shape} must be (N, D), and {name} "
                             f"{arrays[name].shape} (N,)")
    _check_values(path, arrays)
    return arrays


def _check_size(path: Path) -> None:
    """InputError where a file would unpack to more than the free memory, whatever it holds."""
    try:
        with zipfile.ZipFile(path) as file:
            size, free = sum(entry.file_size for entry in file.infolist()), memory()[1]
    except (OSError, ValueError, zipfile.BadZipFile):
        return    # reading it says what it is
    if size > free:
        raise InputError(f"{path}: unpacks to {size:,} bytes, and {free:,} of memory are free")


def _check_values(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """InputError where a value cannot be what its array says."""
    features, ids, cams = (arrays[name] for name in ("features", "ids", "cams"))
    if features.dtype.kind not in "fiu" or features.dtype.itemsize > 8:
        raise InputError(f"{path}: features are of type {features.dtype}; they must be real numbers")
    try:
        lengths(features)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if ids.dtype.kind not in "iuU":
        raise InputError(f"{path}: ids are of type {ids.dtype}; they must be whole numbers or strings")
    for name in {"ids", "names"} & arrays.keys():
        texts = arrays[name].tolist() if arrays[name].dtype.kind == "U" else ()
        for odd in (text for text in texts if not _is_name(text)):
            raise InputError(f"{path}: {name} hold {odd!r:.60}; they must be Unicode text without NUL")
    unknown = np.flatnonzero(cams < 0) if cams.dtype.kind in "iu" else [0]
    if len(unknown):
        raise InputError(f"{path}: camera {cams[unknown[0]]} of image {unknown[0]} is not known; cameras are "
                         "whole numbers from 0")


def _is_name(text: str) -> bool:
    """Whether a text can be written to a file and, as a path, be opened."""
    return "\0" not in text and is_utf_8(text)
