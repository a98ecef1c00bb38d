"""The result of a protocol for each query, before averaging."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Where the Q queries of one split found their matches.

    matches: (Q,) int, how many gallery images are good matches.
    first: (Q,) float64, the rank of the nearest of them; NaN where there is none.
    precision: {"trapezoid", "step"}: (Q,) float64, the average precision; 0 where there is no match.
    """
    matches: np.ndarray
    first: np.ndarray
    precision: dict[str, np.ndarray]
    standard_error = None    # only single-shot with drawn galleries has one

    def within(self, k: int) -> np.ndarray:
        """(Q,) float64: 1 where a match is found within the first k ranks, else 0."""
        return (self.first <= k).astype(np.float64)
