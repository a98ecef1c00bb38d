"""The protocols by name: from the features of a query and a gallery to their Ranking."""

from typing import Literal, get_args

import numpy as np

from reid.common.errors import InputError
from reid.common.rng import generator
from reid.metrics import market1501, single_shot
from reid.metrics.distance import distance_rows, squared_distances
from reid.metrics.features import Features
from reid.metrics.junk import is_junk
from reid.metrics.ranking import Ranking

Protocol = Literal["market1501", "single-shot"]
PROTOCOLS = get_args(Protocol)


def rank(protocol: Protocol, query: Features, gallery: Features, draws: int | None = None,
         seed: int = 0) -> Ranking:
    """The Ranking of query and gallery, dicts of features (N, D), ids (N,) and cams (N,), under a protocol.

    single-shot takes the mean over `draws` random galleries, from `seed`, or exactly over all (None).
    Raises InputError where the two do not fit each other.
    """
    kinds = [part["ids"].dtype.kind == "U" for part in (query, gallery)]
    if kinds[0] != kinds[1]:
        raise InputError(f"identities are of type {query['ids'].dtype} in the query and "
                         f"{gallery['ids'].dtype} in the gallery: none could match")
    if protocol == "market1501":
        junk = int(np.argmin(np.append(is_junk(gallery["ids"]), False)))    # how many stand first
        rows = distance_rows(query["features"], gallery["features"], skip=junk)
        return market1501.evaluate(rows, query["ids"], query["cams"], gallery["ids"][junk:],
                                   gallery["cams"][junk:])
    distances = squared_distances(query["features"], gallery["features"])
    if draws is None:
        return single_shot.exact(distances, query["ids"], gallery["ids"])
    return single_shot.sampled(distances, query["ids"], gallery["ids"], draws, generator(seed, "gallery"))
