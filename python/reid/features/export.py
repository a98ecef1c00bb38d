"""Features and distances for other programs: an .npz, or .mat files for Market-1501's MATLAB evaluation."""

import io
from pathlib import Path

import numpy as np
from scipy.io import savemat

from reid.common.errors import InputError
from reid.common.files import whole_directory, write_whole
from reid.metrics.features import Features

LIMIT = 2 ** 31    # bytes of one variable in a .mat of version 5


def write_npz(path: Path, query: Features, gallery: Features,
              distances: np.ndarray) -> None:
    """Write one file with query_features, gallery_ids, … of both dicts, and distances (Q, G)."""
    arrays = {f"{side}_{name}": array for side, part in (("query", query), ("gallery", gallery))
              for name, array in part.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, distances=distances)
    write_whole(path, buffer.getvalue())


def write_mat(folder: Path, query: Features, gallery: Features,
              distances: np.ndarray) -> None:
    """Write the new folder `folder` of .mat files with one variable each, as MATLAB's importdata expects.

    data/queryID, data/testID, data/queryCAM, data/testCAM: (N, 1) double; Hist_query, Hist_test: features,
    (D, N) single; dist: (G, Q) single, the transpose of `distances` (Q, G), since compute_AP takes a column
    for each query. Raises InputError for identities that are not numbers and for arrays too large for a .mat.
    """
    if Path(folder).exists():
        raise InputError(f"{folder}: is there already; choose a new folder")
    matrices = {"Hist_query": query["features"], "Hist_test": gallery["features"], "dist": distances}
    for name, matrix in matrices.items():
        if 4 * matrix.size >= LIMIT:
            raise InputError(f"{folder}: {name} of {matrix.shape} takes more than the 2 GiB that a .mat can "
                             "hold; export an .npz")
    try:
        columns = {f"data/{side}{what}": np.array(part[key], np.int64) for side, part in
                   (("query", query), ("test", gallery)) for what, key in (("ID", "ids"), ("CAM", "cams"))}
    except ValueError as error:
        raise InputError(f"{folder}: identities must be numbers for MATLAB's evaluation: {error}") from None
    with whole_directory(folder) as partial:
        (partial / "data").mkdir()
        for name, matrix in matrices.items():
            savemat(partial / f"{name}.mat", {name: matrix.T.astype(np.float32)})
        for name, column in columns.items():
            savemat(partial / f"{name}.mat", {Path(name).name: column[:, None].astype(np.float64)})
