"""How two features are compared (paper, section II-C and III-B): L2-normalised, squared Euclidean distance."""

import numpy as np

from data_prep.errors import InputError


def normalise(features):
    """Each row of `features` (N, D) scaled to length 1, as float64; a row of zeros stays zero.

    Raises InputError where a value is not finite: a ranking of such features would be meaningless.
    """
    features = np.asarray(features, np.float64)
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise InputError(f"feature {row} holds NaN or infinity: the net that made it has diverged")
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1)


def squared_distances(query, gallery):
    """Squared Euclidean distances between the L2-normalised rows of query (Q, D) and gallery (G, D).

    Returns (Q, G) float64, each between 0 and 4. Raises InputError where the two have different lengths D.
    """
    if query.shape[1] != gallery.shape[1]:
        raise InputError(f"query features have {query.shape[1]} values and gallery features "
                         f"{gallery.shape[1]}: they come from different nets")
    query, gallery = normalise(query), normalise(gallery)
    distances = (query ** 2).sum(1)[:, None] + (gallery ** 2).sum(1)[None] - 2 * query @ gallery.T
    return np.maximum(distances, 0)
