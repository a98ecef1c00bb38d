"""What a ranking is computed from: the features of one side, the queries or the gallery."""

from typing import NotRequired, TypedDict

import numpy as np


class Features(TypedDict):
    """The arrays of a feature file (reid.formats.feature_file reads and checks them), one row an image.

    features: (N, D) numbers; ids: (N,) whole numbers or strings; cams: (N,) whole numbers from 0; names: (N,)
    strings, of files.
    """
    features: np.ndarray
    ids: np.ndarray
    cams: np.ndarray
    names: NotRequired[np.ndarray]
