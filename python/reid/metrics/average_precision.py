"""Average precision (AP) in its two flavours, from the ranks of a query's good matches."""

import numpy as np


def average_precision(ranks: np.ndarray) -> dict[str, float]:
    """{"trapezoid": AP, "step": AP} of matches at `ranks` (n,), ascending from 1, without junk; 0 for none.

    step, as scikit-learn's average_precision_score has it: the mean over the matches of k / r_k.
    trapezoid, as Market-1501's own evaluation has it: the mean over the matches of the precision halfway up
    the step, ½ ((k − 1) / (r_k − 1) + k / r_k), where precision starts at 1: the first term is 1 for r_k = 1.

    >>> average_precision(np.array([1, 3]))     # good, bad, good, bad
    {'trapezoid': 0.7916666666666666, 'step': 0.8333333333333333}
    """
    if not len(ranks):
        return {"trapezoid": 0.0, "step": 0.0}
    found = np.arange(1, len(ranks) + 1)
    after = found / ranks
    before = np.where(ranks > 1, (found - 1) / np.maximum(ranks - 1, 1), 1)
    return {"trapezoid": float((before + after).mean() / 2), "step": float(after.mean())}
