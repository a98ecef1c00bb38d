"""Average precision (AP; paper, section III-B), in two flavours, from the ranks of a query's good matches."""

import numpy as np


def average_precision(ranks: np.ndarray) -> dict[str, np.ndarray]:
    """{"trapezoid": AP, "step": AP} of matches at `ranks` (…, n), ascending from 1, without junk.

    Each AP is (…): a number for the ranks of one query, (Q,) for those of Q with n matches each; 0 for n = 0.
    step, as scikit-learn's average_precision_score has it: the mean over the matches of k / r_k.
    trapezoid, as Market-1501's own evaluation has it: the mean over the matches of the precision halfway up
    the step, ½ ((k − 1) / (r_k − 1) + k / r_k), where precision starts at 1: the first term is 1 for r_k = 1.

    >>> average_precision(np.array([1, 3]))     # good, bad, good, bad
    {'trapezoid': 0.7916666666666666, 'step': 0.8333333333333333}
    """
    if not ranks.size:
        return dict.fromkeys(("trapezoid", "step"), np.zeros(ranks.shape[:-1]))
    found = np.arange(1, ranks.shape[-1] + 1)
    after = found / ranks
    before = np.where(ranks > 1, (found - 1) / np.maximum(ranks - 1, 1), 1)
    return {"trapezoid": (before + after).mean(axis=-1) / 2, "step": after.mean(axis=-1)}
