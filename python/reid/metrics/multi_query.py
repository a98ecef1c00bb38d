"""Market-1501's multiple query: images of the query's identity from its camera pooled into one feature."""

import numpy as np

from reid.common.errors import InputError
from reid.metrics.distance import normalise

POOLS = {"mean": np.mean, "max": np.max}


def pool(query_ids: np.ndarray, query_cams: np.ndarray, features: np.ndarray, ids: np.ndarray,
         cams: np.ndarray, how: str) -> np.ndarray:
    """The pooled features of Q queries, (Q, D) float32 of length 1, which take the place of their own.

    features (N, D), ids, cams (N,): the images to pool; a query takes those of its identity and camera. Their
    features are L2-normalised, pooled by mean or maximum (`how`: "mean" or "max"), and L2-normalised again.
    Raises InputError for a query without images to pool.
    """
    images = {}
    for row, place in enumerate(zip(ids.tolist(), cams.tolist())):
        images.setdefault(place, []).append(row)
    pooled = np.empty((len(query_ids), features.shape[1]))
    for query, place in enumerate(zip(query_ids.tolist(), query_cams.tolist())):
        if place not in images:
            raise InputError(f"query {query}: there is no image of identity {place[0]} from camera "
                             f"{place[1]} to pool; leave the query out, or add its own image")
        pooled[query] = POOLS[how](normalise(features[images[place]]), axis=0)
    return normalise(pooled).astype(np.float32)
