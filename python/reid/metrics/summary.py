"""The figures of a Ranking (paper, section III-B): CMC and mAP, means over the queries, and over splits."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reid.common.errors import InputError
from reid.metrics.ranking import Ranking

RANKS = (1, 5, 10, 20)


def summary(ranking: Ranking, ranks: Sequence[int] = RANKS, leave_out: bool = False) -> dict[str, Any]:
    """{"queries", "queries_without_match", "cmc": {"1", "5", …}, "mAP": {"trapezoid", "step"}} of a Ranking.

    CMC and mAP are fractions of 1, means over all queries. A query without a match counts as never found,
    with AP 0; with `leave_out` it is left out of the mean. Where galleries were drawn at random,
    "standard_error" has that of each value of the CMC. Raises InputError where nothing is left to average.
    """
    counted = ranking.matches > 0 if leave_out else np.full(len(ranking.matches), True)
    if not counted.any():
        raise InputError(f"none of the {len(counted)} queries has a good match in the gallery: nothing to "
                         "average")
    figures = {"queries": len(counted), "queries_without_match": int((ranking.matches == 0).sum()),
               "cmc": {str(k): float(ranking.within(k)[counted].mean()) for k in ranks},
               "mAP": {flavour: float(values[counted].mean())
                       for flavour, values in ranking.precision.items()}}
    if ranking.standard_error is not None:
        error = ranking.standard_error * len(counted) / counted.sum()
        figures["standard_error"] = {str(k): float(error[min(k, len(error)) - 1]) for k in ranks}
    return figures


def over_splits(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One summary of several splits: means, standard deviations "std" (n − 1), the summaries as "splits"."""
    def over(key: str, figure: Callable[[list[float]], float]) -> dict[str, float]:
        return {name: float(figure([split[key][name] for split in summaries])) for name in summaries[0][key]}

    return {**{key: sum(split[key] for split in summaries) for key in ("queries", "queries_without_match")},
            **{key: over(key, np.mean) for key in ("cmc", "mAP")},
            "std": {key: over(key, lambda values: np.std(values, ddof=1)) for key in ("cmc", "mAP")},
            "splits": summaries}


def chance(identities: int) -> dict[str, float]:
    """The CMC of a random order of `identities` identities, as {"1", "5", "10", "20"}."""
    return {str(k): min(1.0, k / identities) for k in RANKS}
