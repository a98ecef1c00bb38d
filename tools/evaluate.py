"""Score feature files of queries against feature files of their galleries, under a protocol of the paper."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import argparse
import json
import sys
from typing import Any

import numpy as np

from reid.common.errors import InputError, Parser, command_line
from reid.common.files import write_whole
from reid.features.export import write_mat, write_npz
from reid.formats.feature_file import read_features
from reid.metrics.distance import squared_distances
from reid.metrics.features import Features
from reid.metrics.multi_query import POOLS, pool
from reid.metrics.per_query import as_csv, per_query
from reid.metrics.protocol import PROTOCOLS, rank
from reid.metrics.summary import RANKS, over_splits, summary

MOST_DRAWS = 1_000_000    # their figures are held in memory


@command_line
def main() -> int:
    arguments = parse_arguments()
    splits, table = [], []
    for split, files in enumerate(zip(arguments.query, arguments.gallery, arguments.multi_query)):
        query, gallery, *images = map(read_features, filter(None, files))
        try:
            for part in images:
                query["features"] = pool(query["ids"], query["cams"], part["features"], part["ids"],
                                         part["cams"], arguments.pool)
            ranking = rank(arguments.protocol, query, gallery, arguments.draws, arguments.seed)
            splits.append(summary(ranking, arguments.ranks, arguments.leave_out))
        except InputError as error:
            raise InputError(f"{error} ({', '.join(filter(None, files))})") from None
        table += per_query(split, query, ranking, arguments.ranks)
        if arguments.npz or arguments.mat:
            export(arguments, query, gallery)
    figures = {**about(arguments), **(splits[0] if len(splits) == 1 else over_splits(splits))}
    show(figures)
    if arguments.json:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")
    if arguments.per_query:
        write_whole(arguments.per_query, as_csv(table))
    return 0


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__)
    parser.add_argument("--query", required=True, nargs="+", metavar="Q.npz",
                        help="feature file of the queries; several: one of each split, averaged")
    parser.add_argument("--gallery", required=True, nargs="+", metavar="G.npz",
                        help="feature files of their galleries")
    parser.add_argument("--protocol", required=True, choices=PROTOCOLS)
    parser.add_argument("--multi-query", nargs="+", metavar="M.npz", default=[],
                        help="market1501: search with all images of a query's identity and camera in these, "
                             "pooled")
    parser.add_argument("--pool", choices=POOLS, default="mean", help="how (default mean)")
    parser.add_argument("--draws", type=int, metavar="N",
                        help="single-shot: the mean over N random galleries (default: over all, exactly)")
    parser.add_argument("--seed", type=int, default=0, help="of the random galleries (default 0)")
    parser.add_argument("--ranks", type=int, nargs="+", default=RANKS, metavar="K",
                        help="ranks of the CMC (default 1 5 10 20)")
    parser.add_argument("--leave-out", action="store_true",
                        help="average without the queries that have no match (default: they count as misses)")
    parser.add_argument("--json", metavar="FILE", help="write the figures here, as fractions of 1")
    parser.add_argument("--per-query", metavar="FILE", help="write every query's own figures here (CSV)")
    parser.add_argument("--npz", metavar="FILE", help="write features and distances here")
    parser.add_argument("--mat", metavar="DIR", help="write them here for Market-1501's MATLAB evaluation")
    arguments = parser.parse_args()
    if arguments.multi_query and arguments.protocol != "market1501":
        parser.error("--multi-query belongs to --protocol market1501")
    if arguments.draws is not None and (arguments.protocol != "single-shot"
                                        or not 1 <= arguments.draws <= MOST_DRAWS):
        parser.error(f"--draws belongs to --protocol single-shot, and must be from 1 to {MOST_DRAWS:,}")
    if min(arguments.ranks) < 1 or arguments.seed < 0:
        parser.error("--ranks must be at least 1, and --seed at least 0")
    arguments.multi_query = arguments.multi_query or [None] * len(arguments.query)
    if not len(arguments.query) == len(arguments.gallery) == len(arguments.multi_query):
        parser.error("--query, --gallery and --multi-query need the same number of files")
    if (arguments.npz or arguments.mat) and len(arguments.query) > 1:
        parser.error("--npz and --mat take one split at a time")
    return arguments


def about(arguments: argparse.Namespace) -> dict[str, str]:
    """What was done, for the head of the figures."""
    if arguments.protocol == "single-shot":
        return {"protocol": "single-shot", "mode": "sampled" if arguments.draws else "exact"}
    return {"protocol": "market1501", **({"pool": arguments.pool} if arguments.multi_query[0] else {})}


def export(arguments: argparse.Namespace, query: Features, gallery: Features) -> None:
    """Write features and distances in the formats that are asked for."""
    distances = squared_distances(query["features"], gallery["features"], np.float32)
    if arguments.npz:
        write_npz(arguments.npz, query, gallery, distances)
    if arguments.mat:
        write_mat(arguments.mat, query, gallery, distances)


def show(figures: dict[str, Any]) -> None:
    """Print figures in per cent, with their standard deviation over splits or standard error over draws."""
    how = figures.get("mode") or (f"multiple query, {figures['pool']}"
                                  if "pool" in figures else "single query")
    splits = f"{len(figures['splits'])} splits, " if "splits" in figures else ""
    print(f"{figures['protocol']} ({how}): {splits}{figures['queries']} queries, "
          f"{figures['queries_without_match']} without a match in the gallery")
    spread = figures.get("std") or {"cmc": figures.get("standard_error", {})}
    for key, label in (("cmc", "rank-{}"), ("mAP", "mAP, {}")):
        for name, value in figures[key].items():
            error = spread.get(key, {}).get(name)
            margin = "" if error is None else f" ± {100 * error:.2f} %"
            print(f"  {label.format(name):14} {100 * value:6.2f} %{margin}")


if __name__ == "__main__":
    sys.exit(main())
