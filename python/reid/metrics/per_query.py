"""What a Ranking says of each query, as a table."""

import csv
import io
import math


def per_query(split, query, ranking, ranks):
    """A dict for each query of a split, for the rows of a table.

    query: dict of its ids, cams and, where there are, names, all (Q,). first_match is the rank of the nearest
    match (single-shot: its mean over the draws), empty where there is none; within_k is the query's part of
    the CMC at k.
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


def as_csv(rows):
    """The rows of one or more splits as CSV."""
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
