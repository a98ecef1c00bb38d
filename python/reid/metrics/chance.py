"""What a random order scores under Market-1501's protocol: the figure that a net has to beat."""

from collections.abc import Sequence

import numpy as np

from reid.metrics.junk import good_and_junk
from reid.metrics.summary import RANKS


def market1501_chance(query_ids: np.ndarray, query_cams: np.ndarray, gallery_ids: np.ndarray,
                      gallery_cams: np.ndarray, ranks: Sequence[int] = RANKS) -> dict[str, dict[str, float]]:
    """{"cmc": {"1", …}, "mAP": {"trapezoid", "step"}}: means over the queries (Q,) of their expected figures.

    A query has m good matches among the n gallery images (G,) that are left without its junk. In a
    random order
      CMC at k     1 − C(n − m, k) / C(n, k) = 1 − Π_{i<k} (n − m − i) / (n − i)
      AP step      (1/n) Σ_r (1 + (r − 1)(m − 1)/(n − 1)) / r = (H_n + (m − 1)(n − H_n)/(n − 1)) / n
      AP trapezoid ½ (AP step + m/n)
    with H_n = 1 + 1/2 + … + 1/n: rank r holds a good match with probability m/n, and before it are then on
    average (r − 1)(m − 1)/(n − 1) others. All are 0 for m = 0.

    >>> market1501_chance(np.array([7]), np.array([1]), np.array([7, 5, 7, -1]), np.array([2, 2, 1, 2]),
    ...                   ranks=[1])
    {'cmc': {'1': 0.5}, 'mAP': {'trapezoid': 0.625, 'step': 0.75}}
    """
    good, junk = (mask.sum(axis=1) for mask in
                  good_and_junk(query_ids[:, None], query_cams[:, None], gallery_ids, gallery_cams))
    left = len(gallery_ids) - junk
    missed, cmc = np.ones(len(good)), {}
    for place in range(max(ranks)):
        missed *= np.maximum(left - good - place, 0) / np.maximum(left - place, 1)
        cmc[place + 1] = float(np.where(good, 1 - missed, 0).mean())
    harmonic = np.concatenate([[0], np.cumsum(1 / np.arange(1, len(gallery_ids) + 1))])[left]
    step = harmonic + (good - 1) * (left - harmonic) / np.maximum(left - 1, 1)
    step = np.where(good, step / np.maximum(left, 1), 0)
    trapezoid = (step + good / np.maximum(left, 1)) / 2
    return {"cmc": {str(k): cmc[k] for k in ranks},
            "mAP": {"trapezoid": float(trapezoid.mean()), "step": float(step.mean())}}
