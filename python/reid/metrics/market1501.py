"""Market-1501's protocol (paper, section III-A), single query; multi_query.py pools several into one.

What is good and what is junk: `junk`. Equal distances are ordered as the gallery is. After Zheng et al.,
"Scalable Person Re-identification: A Benchmark", ICCV 2015, and the code that came with it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from reid.common.errors import InputError
from reid.metrics.average_precision import average_precision
from reid.metrics.junk import good_and_junk, is_junk
from reid.metrics.ranking import Ranking

MANY = 64    # with more matches than this, sorting is a faster way to ranks than counting for each


def evaluate(rows: Iterable[ArrayLike], query_ids: ArrayLike, query_cams: ArrayLike, gallery_ids: ArrayLike,
             gallery_cams: ArrayLike) -> Ranking:
    """The Ranking of Q queries in a gallery of G images.

    rows: Q arrays of G distances, as a matrix (Q, G) or one after another (distance.distance_rows).
    query_ids, query_cams (Q,), gallery_ids, gallery_cams (G,): identities (−1 or "-1": junk) and cameras.
    Raises InputError where lengths differ, and for a query of identity −1.

    >>> evaluate([[.1, .2, .3, .4]], [7], [1], [7, 5, 7, 0], [2, 2, 3, 3]).precision    # good, bad, good, bad
    {'trapezoid': array([0.79166667]), 'step': array([0.83333333])}
    """
    query_ids, query_cams, gallery_ids, gallery_cams = map(
        np.asarray, (query_ids, query_cams, gallery_ids, gallery_cams))
    _check(query_ids, query_cams, gallery_ids, gallery_cams)
    own, counted_always = _Own(gallery_ids), ~is_junk(gallery_ids)
    ranks = []
    for query, row in enumerate(rows):
        if query == len(query_ids) or len(row) != len(gallery_ids):
            raise InputError(f"row {query}, of {len(row)} distances, does not fit {len(query_ids)} queries "
                             f"and {len(gallery_ids)} gallery images")
        places = own.of(query_ids[query])
        good, junk = good_and_junk(query_ids[query], query_cams[query], gallery_ids[places],
                                   gallery_cams[places])
        counted = counted_always.copy()
        counted[places[junk]] = False
        ranks.append(ranks_of(np.asarray(row), places[good], counted))
    if len(ranks) < len(query_ids):
        raise InputError(f"{len(ranks)} rows of distances do not fit {len(query_ids)} queries")
    matches = np.array([len(r) for r in ranks])
    precision = {flavour: np.empty(len(ranks)) for flavour in ("trapezoid", "step")}
    for count in np.unique(matches):
        alike = np.flatnonzero(matches == count)
        for flavour, values in average_precision(np.array([ranks[query] for query in alike])).items():
            precision[flavour][alike] = values
    return Ranking(matches, np.array([r[0] if len(r) else np.nan for r in ranks]), precision)


class _Own:
    """Where the images of each identity stand in a gallery: found once, and not by every query again."""

    def __init__(self, ids: np.ndarray) -> None:
        self.order = np.argsort(ids, kind="stable")
        self.sorted = ids[self.order]

    def of(self, identity: int | str) -> np.ndarray:
        """The places (n,) of an identity's images, ascending."""
        first, last = (np.searchsorted(self.sorted, identity, side) for side in ("left", "right"))
        return self.order[first:last]


def _check(query_ids: np.ndarray, query_cams: np.ndarray, gallery_ids: np.ndarray,
           gallery_cams: np.ndarray) -> None:
    if query_ids.shape != query_cams.shape or gallery_ids.shape != gallery_cams.shape:
        raise InputError(f"{len(query_ids)} identities and {len(query_cams)} cameras of queries, "
                         f"{len(gallery_ids)} and {len(gallery_cams)} of the gallery: each image needs one "
                         "of each")
    if is_junk(query_ids).any():
        raise InputError(f"query {np.argmax(is_junk(query_ids))} is of identity -1: junk has no match")


def ranks_of(row: np.ndarray, good: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The ranks, ascending from 1, of the gallery positions `good` (n,) among the distances `row` (G,).

    counted (G,): which images take a rank, `good` among them. An image comes before another where it is
    nearer, or as near and earlier in the gallery; only those as near as the furthest match are looked at.
    """
    if not len(good):
        return np.empty(0, int)
    at = row[good]
    places = np.flatnonzero((row <= at.max()) & counted)
    near = row[places]
    if len(good) > MANY:
        place = np.empty(len(near), int)
        place[np.argsort(near, kind="stable")] = np.arange(len(near))
        return np.sort(place[np.searchsorted(places, good)]) + 1
    before, equal = near < at[:, None], near == at[:, None]
    if np.count_nonzero(equal) > len(good):    # not with themselves alone
        before |= equal & (places < good[:, None])
    return np.sort([1 + np.count_nonzero(images) for images in before])
