"""Single-shot evaluation (paper, section III-A: VIPeR, CUHK01, CUHK03), exactly or by drawing.

Probe: every image of view A. Gallery: one image of view B for each identity, drawn at random. A probe's rank
is 1 + the number of other identities whose drawn image is nearer than its own identity's drawn image; the
CMC at k is the probability of a rank of at most k, averaged over the probes.

That probability needs no drawing. Fix the probe and the image m drawn for its own identity. Another identity
g comes before m with probability p_g = the fraction of g's images nearer than m, independently of all others,
so the number of identities before m is Poisson-binomial with parameters p_g. Averaging over the images m,
each equally likely, gives the distribution of the rank.

Equal distances are ordered as the gallery is (a stable sort), so that features which are all the same score
no better than chance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reid.common.errors import InputError
from reid.metrics.ranking import Ranking

PROBES = 64    # probes whose ranks are computed at a time


@dataclass(frozen=True)
class SingleShot(Ranking):
    """The ranks of Q probes among I identities, over draws of the gallery; first and precision are means.

    chances: (Q, I) float64; chances[q, r-1] is the probability that probe q has rank r; 0 without a match.
    standard_error: (I,) float64, of each value of the CMC, from the spread of the draws; None if under two.
    """
    chances: np.ndarray
    standard_error: np.ndarray | None

    def within(self, k: int) -> np.ndarray:
        """(Q,) float64: the probability that the match is found within the first k ranks."""
        return self.chances[:, :k].sum(axis=1)


def exact(distances: ArrayLike, query_ids: ArrayLike, gallery_ids: ArrayLike) -> SingleShot:
    """The SingleShot over all draws of the gallery, without drawing.

    distances: (Q, G); query_ids (Q,) and gallery_ids (G,): identities, of any type that compares.

    >>> exact(np.array([[.2, .1, .3]]), ["a"], ["a", "b", "b"]).chances     # b comes first in one draw of two
    array([[0.5, 0.5]])
    """
    gallery = _Gallery(distances, query_ids, gallery_ids)
    chances = np.zeros((len(gallery.target), gallery.identities))
    for start in range(0, len(chances), PROBES):
        probes = [q for q in range(start, min(start + PROBES, len(chances))) if gallery.matches[q]]
        if probes:
            before = [gallery.before(q) for q in probes]
            firsts = np.cumsum([0, *map(len, before[:-1])])
            ranks = _rank_chances(np.concatenate(before))
            chances[probes] = np.add.reduceat(ranks, firsts) / gallery.matches[probes, None]
    return _result(gallery, chances, None)


def sampled(distances: ArrayLike, query_ids: ArrayLike, gallery_ids: ArrayLike, draws: int,
            rng: np.random.Generator) -> SingleShot:
    """The SingleShot over `draws` random galleries of one image for each identity.

    rng: numpy Generator. The other arguments are those of `exact`, which this agrees with.
    """
    gallery = _Gallery(distances, query_ids, gallery_ids)
    known = np.flatnonzero(gallery.matches)
    chances = np.zeros((len(gallery.target), gallery.identities))
    cmcs = np.zeros((draws, gallery.identities))
    for cmc in cmcs:
        drawn = np.sort(gallery.positions[rng.integers(gallery.starts, gallery.starts + gallery.images)])
        match = np.argsort(gallery.own[drawn])[gallery.target[known]]
        order = np.argsort(gallery.distances[known[:, None], drawn], axis=1, kind="stable")
        rank = np.argmax(order == match[:, None], axis=1)
        chances[known, rank] += 1 / draws
        cmc[:] = np.bincount(rank, minlength=len(cmc)).cumsum() / len(chances)
    return _result(gallery, chances, cmcs.std(axis=0, ddof=1) / np.sqrt(draws) if draws > 1 else None)


class _Gallery:
    """The inputs, checked, with the images of each of the I identities of the gallery side by side.

    positions: (G,) gallery positions, identity after identity, each in gallery order; starts, images: (I,)
    where an identity begins in them, and how many it has; own: (G,) the number of each gallery image's
    identity; target, matches: (Q,) the number of each probe's identity, and how many images it has, 0 where
    it is not in the gallery.
    """

    def __init__(self, distances: ArrayLike, query_ids: ArrayLike, gallery_ids: ArrayLike) -> None:
        self.distances, query_ids, gallery_ids = map(np.asarray, (distances, query_ids, gallery_ids))
        if self.distances.shape != (len(query_ids), len(gallery_ids)) or not self.distances.size:
            raise InputError(f"{len(query_ids)} probes and {len(gallery_ids)} gallery images do not fit "
                             f"distances of shape {self.distances.shape}: there must be at least one of each")
        names, self.own, self.images = np.unique(gallery_ids, return_inverse=True, return_counts=True)
        self.identities = len(names)
        self.positions = np.argsort(self.own, kind="stable")
        self.starts = np.cumsum(self.images) - self.images
        self.target = np.searchsorted(names, query_ids).clip(max=len(names) - 1)
        self.matches = np.where(names[self.target] == query_ids, self.images[self.target], 0)

    def before(self, probe: int) -> np.ndarray:
        """(M, I) float64: for each match of a probe, the fraction of each identity's images before it."""
        row, identity = self.distances[probe, self.positions], self.target[probe]
        own = slice(self.starts[identity], self.starts[identity] + self.images[identity])
        at, place = row[own, None], self.positions[own, None]
        nearer = (row < at) | ((row == at) & (self.positions < place))
        fractions = np.add.reduceat(nearer, self.starts, axis=1, dtype=np.float64) / self.images
        fractions[:, identity] = 0    # the identity's other images are not drawn beside the match
        return fractions


def _rank_chances(before: np.ndarray) -> np.ndarray:
    """(R, I) distributions of 1 + how many of I independent events happen, from their probabilities (R, I).

    Certain events (probability 1) only shift the count; the others are added one by one. Ranks are 1 to I,
    since not all I events can happen: no identity comes before itself.
    """
    certain = (before == 1).sum(axis=1)
    open_ = -np.sort(-np.where(before < 1, before, 0), axis=1)
    most = (open_ > 0).sum(axis=1).max()
    counts = np.zeros((most + 1, len(before)))
    counts[0] = 1
    for n, p in enumerate(open_.T[:most], 1):
        counts[1:n + 1] = counts[1:n + 1] * (1 - p) + counts[:n] * p
        counts[0] *= 1 - p
    chances = np.zeros((len(before), before.shape[1] + most))
    np.put_along_axis(chances, certain[:, None] + np.arange(most + 1), counts.T, axis=1)
    return chances[:, :before.shape[1]]


def _result(gallery: _Gallery, chances: np.ndarray, standard_error: np.ndarray | None) -> SingleShot:
    """The SingleShot of these rank distributions. A match at rank r has AP 1/r, or 1/(2r) (1 for r = 1)."""
    r = np.arange(1, gallery.identities + 1)
    first = np.where(gallery.matches, chances @ r, np.nan)
    precision = {"trapezoid": chances @ (1 / np.where(r > 1, 2 * r, 1)), "step": chances @ (1 / r)}
    return SingleShot(gallery.matches, first, precision, chances, standard_error)
