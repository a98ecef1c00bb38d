"""A ranking as the figures that are printed, compared and kept."""

RANKS = (1, 5, 10, 20)


def summary(ranking):
    """{"queries", "queries_without_match", "cmc": {"1", "5", "10", "20"}, "mAP": {"trapezoid", "step"}}.

    All fractions of 1.
    """
    return {"queries": ranking.queries, "queries_without_match": ranking.queries_without_match,
            "cmc": {str(k): ranking.cmc(k) for k in RANKS}, "mAP": ranking.mean_average_precision()}


def chance(identities):
    """The CMC of a random order of `identities` identities, as {"1", "5", "10", "20"}."""
    return {str(k): min(1.0, k / identities) for k in RANKS}
