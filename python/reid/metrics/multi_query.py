"""Market-1501's multiple query: all images of the query's identity from its camera as one feature."""

import numpy as np

from reid.common.errors import InputError
from reid.metrics.distance import normalise

POOLS = {"mean": np.mean, "max": np.max}


def pool(query_ids, query_cams, features, ids, cams, how):
    """The features, (Q, D) float32 and of length 1, that stand for Q queries in a search.

    features (N, D), ids, cams (N,): the images; a query takes those of its identity and camera. Each is
    L2-normalised, they are pooled by their mean or maximum (`how`: "mean" or "max"), and L2-normalised again.
    Raises InputError for a query that has none.
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
