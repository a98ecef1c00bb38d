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

from data_prep.errors import InputError


@dataclass(frozen=True)
class Ranking:
    """The distribution of the ranks of a set of probes.

    ranks: (I,) float64; ranks[r-1] is the mean over the probes of the probability of rank r among I identities.
    queries: number of probes. queries_without_match: those with no image in the gallery, counted as misses.
    standard_error: (I,) float64, of each value of the CMC; zero where nothing was drawn.
    """
    ranks: np.ndarray
    queries: int
    queries_without_match: int
    standard_error: np.ndarray

    def cmc(self, k):
        """The share of probes found within the first k ranks, 0 to 1."""
        return float(self.ranks[:k].sum())

    def mean_average_precision(self):
        """{"trapezoid", "step"}: with a single match at rank r, AP is 1/(2r) (1 for r = 1), and 1/r."""
        r = np.arange(1, len(self.ranks) + 1)
        return {"trapezoid": float((self.ranks / np.where(r > 1, 2 * r, 1)).sum()),
                "step": float((self.ranks / r).sum())}


def exact(distances, query_ids, gallery_ids):
    """The Ranking averaged over all draws of the gallery, without drawing.

    distances: (Q, G); query_ids (Q,) and gallery_ids (G,): identities, of any type that compares.

    >>> exact(np.array([[.2, .1, .3]]), ["a"], ["a", "b", "b"]).ranks     # b comes first in one draw of two
    array([0.5, 0.5])
    """
    distances, query_ids, own, identities = _checked(distances, query_ids, gallery_ids)
    fractions = (own[:, None] == np.arange(len(identities))).astype(np.float64)
    fractions /= fractions.sum(0)
    chances, weights = [], []
    for row, identity in zip(distances, query_ids):
        matches = np.flatnonzero(identities[own] == identity)
        before = _nearer(row, matches) @ fractions
        before[:, own[matches]] = 0
        chances.append(before)
        weights.append(np.full(len(matches), 1 / max(len(matches), 1)))
    missing = sum(not len(rows) for rows in chances)
    ranks = np.concatenate(weights) @ _poisson_binomial(np.concatenate(chances)) / len(distances)
    return Ranking(ranks, len(distances), missing, np.zeros(len(identities)))


def sampled(distances, query_ids, gallery_ids, draws, rng):
    """The Ranking averaged over `draws` random galleries of one image for each identity.

    rng: numpy Generator. The other arguments are those of `exact`, which this agrees with.
    """
    distances, query_ids, own, identities = _checked(distances, query_ids, gallery_ids)
    images = [np.flatnonzero(own == g) for g in range(len(identities))]
    target = np.searchsorted(identities, query_ids).clip(max=len(identities) - 1)
    known = identities[target] == query_ids
    cmcs = np.zeros((draws, len(identities)))
    for cmc in cmcs:
        drawn = np.sort([rng.choice(choice) for choice in images])
        match = np.argsort(own[drawn])[target]
        order = np.argsort(distances[:, drawn], axis=1, kind="stable")
        rank = np.argmax(order == match[:, None], axis=1)
        cmc[:] = np.bincount(rank[known], minlength=len(identities)).cumsum() / len(distances)
    error = cmcs.std(0, ddof=1) / np.sqrt(draws) if draws > 1 else np.full(len(identities), np.nan)
    return Ranking(np.diff(cmcs.mean(0), prepend=0), len(distances), int((~known).sum()), error)


def _checked(distances, query_ids, gallery_ids):
    """The inputs as arrays, with the gallery's identities numbered: own (G,) indexes the sorted identities."""
    distances, query_ids, gallery_ids = map(np.asarray, (distances, query_ids, gallery_ids))
    if distances.shape != (len(query_ids), len(gallery_ids)) or not distances.size:
        raise InputError(f"{len(query_ids)} probes and {len(gallery_ids)} gallery images do not fit "
                         f"distances of shape {distances.shape}: there must be at least one of each")
    identities, own = np.unique(gallery_ids, return_inverse=True)
    return distances, query_ids, own, identities


def _nearer(row, matches):
    """(M, G) float64: 1 where a gallery image comes before match m of `matches` (M,), ties in gallery order."""
    position = np.arange(len(row))
    at = row[matches][:, None]
    return ((row < at) | ((row == at) & (position < matches[:, None]))).astype(np.float64)


def _poisson_binomial(chances):
    """(R, I) distributions of how many of I independent events happen, from their chances (R, I).

    All I of them never happen at once here (a probe's own identity is not before itself), so 0 to I−1 it is.
    """
    counts = np.zeros_like(chances)
    counts[:, 0] = 1
    for p in chances.T[:, :, None]:
        counts[:, 1:] = counts[:, 1:] * (1 - p) + counts[:, :-1] * p
        counts[:, :1] *= 1 - p
    return counts
