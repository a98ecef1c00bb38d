"""Draw what chosen or the worst queries found: a page of pictures marked good, junk, distractor or wrong."""

import argparse
import sys
from pathlib import Path

from reid.common.errors import InputError, command_line
from reid.formats.feature_file import read_features
from reid.metrics.protocol import PROTOCOLS, rank
from reid.report.ranked import draw, ranked_lists, worst


@command_line
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--query", required=True, metavar="Q.npz",
                        help="feature file of the queries, with names")
    parser.add_argument("--gallery", required=True, metavar="G.npz",
                        help="feature file of the gallery, with names")
    parser.add_argument("--protocol", required=True, choices=PROTOCOLS)
    parser.add_argument("--images", required=True, type=Path, metavar="DIR",
                        help="folder of the pictures that the names in the feature files are relative to")
    parser.add_argument("--out", required=True, metavar="FILE.png")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--names", nargs="+", metavar="NAME", help="draw these queries")
    chosen.add_argument("--worst", type=int, default=10, metavar="N",
                        help="draw the N queries of the lowest average precision (default 10)")
    parser.add_argument("--count", type=int, default=10, metavar="N",
                        help="the N nearest gallery pictures (default 10), then the nearest match if not "
                             "among them")
    arguments = parser.parse_args()
    if min(arguments.worst, arguments.count) < 1:
        parser.error("--worst and --count must be at least 1")

    query, gallery = read_features(arguments.query), read_features(arguments.gallery)
    for file, part in ((arguments.query, query), (arguments.gallery, gallery)):
        if "names" not in part:
            raise InputError(f"{file}: holds no names of pictures, and without them there is nothing to draw")
    ranking = rank(arguments.protocol, query, gallery)
    if arguments.names:
        numbers = chosen_queries(arguments.names, query["names"])
    else:
        numbers = worst(ranking, arguments.worst)
    if not numbers:
        raise InputError(f"no query of {arguments.query} has a match in {arguments.gallery}: choose some by "
                         "--names")
    lists = ranked_lists(arguments.protocol, query, gallery, numbers, arguments.count)
    queries = [(str(query["names"][n]), about(query, ranking, n)) for n in numbers]
    title = (f"{'chosen' if arguments.names else 'worst'} queries of {len(ranking.matches)}, "
             f"{arguments.protocol} protocol; below each picture its rank (junk takes none) and squared "
             "distance")
    draw(arguments.out, title, queries, lists, arguments.images)
    print(f"{len(numbers)} queries: {arguments.out}")
    return 0


def chosen_queries(wanted, names):
    """The numbers of the queries that are named; InputError for a name that is not there."""
    place = {name: number for number, name in enumerate(names.tolist())}
    unknown = [name for name in wanted if name not in place]
    if unknown:
        raise InputError(f"--names {unknown[0]}: there is no query of that name; the first is {names[0]}")
    return [place[name] for name in wanted]


def about(query, ranking, number):
    """What is said of a query beside its picture."""
    matches, precision = ranking.matches[number], ranking.precision["trapezoid"][number]
    found = f"first at rank {ranking.first[number]:g}" if matches else "none to be found"
    return (f"query {number}\nidentity {query['ids'][number]}\ncamera {query['cams'][number]}\n"
            f"{matches} {'match' if matches == 1 else 'matches'}\n{found}\nAP {100 * precision:.1f} %")


if __name__ == "__main__":
    sys.exit(main())
