"""A Ranking as a table, one row for each query."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from reid.metrics.ranking import Ranking


def per_query(split: int, query: dict[str, np.ndarray], ranking: Ranking,
              ranks: Iterable[int]) -> list[dict[str, Any]]:
    """The rows of the table for the queries of one split, as dicts.

    query: ids, cams and, optionally, names, all (Q,). first_match is the rank of the nearest match
    (single-shot: its mean over the draws), empty where there is none; within_k is what the query adds to the
    CMC at k: 1 or 0, in single-shot a probability.
    """
    names = query.get("names", [""] * len(query["ids"]))
    rows = []
    for n, first in enumerate(ranking.first):
        rows.append({"split": split, "query": n, "name": names[n], "identity": query["ids"][n],
                     "camera": query["cams"][n], "matches": ranking.matches[n],
                     "first_match": "" if math.isnan(first) else f"{first:g}",
                     **{f"AP_{flavour}": f"{values[n]:.6f}"
                        for flavour, values in ranking.precision.items()}})
    for k in ranks:
        for row, found in zip(rows, ranking.within(k)):
            row[f"within_{k}"] = f"{found:.6g}"
    return rows


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of one or more splits as CSV."""
    return "".join(map(_line, (rows[0], *(row.values() for row in rows))))


def _line(cells: Iterable[Any]) -> str:
    """A line. Python quotes a carriage return only where its lines end with one too."""
    file = io.StringIO()
    csv.writer(file).writerow(cells)
    return file.getvalue().removesuffix("\r\n") + "\n"
