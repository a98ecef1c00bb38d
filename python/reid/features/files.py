"""Feature files: an .npz of features (N, D) float32, ids (N,), cams (N,) and optionally names (N,)."""

import io
import zipfile

import numpy as np

from data_prep.errors import InputError
from data_prep.files import write_whole


def write_features(path, features, ids, cams, names):
    """Write a feature file; it appears whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, features=np.asarray(features, np.float32), ids=np.array(ids), cams=np.array(cams),
             names=np.array(names))
    write_whole(path, buffer.getvalue())


def read_features(path):
    """The arrays of a feature file as a dict; InputError names the file and what is wrong with it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as a feature file (.npz): {error}") from None
    missing = {"features", "ids", "cams"} - set(arrays)
    if missing:
        raise InputError(f"{path}: lacks the arrays {sorted(missing)}; it holds {sorted(arrays)}")
    features = arrays["features"]
    if features.ndim != 2 or any(arrays[name].shape != features.shape[:1] for name in ("ids", "cams")):
        raise InputError(f"{path}: features {features.shape} must be (N, D), and ids {arrays['ids'].shape} "
                         f"and cams {arrays['cams'].shape} (N,)")
    return arrays
