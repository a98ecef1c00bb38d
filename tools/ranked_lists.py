"""Show what chosen or the worst queries found: a page of pictures marked good, junk, distractor or wrong."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from reid.common.errors import InputError, Parser, command_line
from reid.common.files import write_whole
from reid.formats.feature_file import read_features
from reid.metrics.protocol import PROTOCOLS, rank
from reid.provenance import finished
from reid.report.html import page, tag
from reid.report.ranked import LEGEND, Folder, Prepared, as_html, ranked_lists, worst


@command_line
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--run", type=Path, metavar="DIR",
                        help="a finished run, OUT/<stage>/<split>: stands for the next four")
    parser.add_argument("--query", metavar="Q.npz", help="feature file of the queries, with names")
    parser.add_argument("--gallery", metavar="G.npz", help="feature file of the gallery, with names")
    parser.add_argument("--protocol", choices=PROTOCOLS)
    parser.add_argument("--data", type=Path, metavar="DIR",
                        help="the prepared dataset that the features are of, whatever it was prepared from")
    parser.add_argument("--images", type=Path, metavar="DIR",
                        help="in place of --data: folder of the pictures that the names in the feature "
                             "files are relative to")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.html")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--names", nargs="+", metavar="NAME", help="show these queries")
    chosen.add_argument("--worst", type=int, default=10, metavar="N",
                        help="show the N queries of the lowest average precision (default 10)")
    parser.add_argument("--count", type=int, default=10, metavar="N",
                        help="the N nearest gallery pictures (default 10), then the nearest match if not "
                             "among them")
    arguments = parser.parse_args()
    if min(arguments.worst, arguments.count) < 1:
        parser.error("--worst and --count must be at least 1")
    if arguments.out.suffix.lower() != ".html":
        raise InputError(f"{arguments.out}: ranked lists are an HTML page; end its name with .html")
    _complete(parser, arguments)

    query, gallery = read_features(arguments.query), read_features(arguments.gallery)
    for file, part in ((arguments.query, query), (arguments.gallery, gallery)):
        if "names" not in part:
            raise InputError(f"{file}: holds no names of pictures, and without them there is nothing to show")
    pictures = Folder(arguments.images) if arguments.images else Prepared(arguments.data)
    ranking = rank(arguments.protocol, query, gallery)
    if arguments.names:
        numbers = chosen_queries(arguments.names, query["names"])
    else:
        numbers = worst(ranking, arguments.worst)
    if not numbers:
        raise InputError(f"no query of {arguments.query} has a match in {arguments.gallery}: choose some by "
                         "--names")
    lists = ranked_lists(arguments.protocol, query, gallery, numbers, arguments.count)
    title = f"{'Chosen' if arguments.names else 'The worst'} {len(numbers)} of {len(ranking.matches)} queries"
    about = (f"{arguments.query} in {arguments.gallery}, {arguments.protocol} protocol. Ranks are among all "
             f"gallery images; junk takes none. {LEGEND}")
    shown = as_html(arguments.protocol, query, ranking, numbers, lists, pictures)
    write_whole(arguments.out, page(title, [], tag("p", about), shown))
    print(f"{len(numbers)} queries: {arguments.out}")
    return 0


def _complete(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Fill in what --run says and was not given; an error where something is missing."""
    if arguments.run:
        result = finished.read(arguments.run)
        features = arguments.run / "features" / ("after" if result.after else "before")
        arguments.query = arguments.query or features / "query.npz"
        arguments.gallery = arguments.gallery or features / "gallery.npz"
        arguments.protocol = arguments.protocol or result.protocol
        if not arguments.data and not arguments.images and result.data_folder:
            arguments.data = arguments.run / result.data_folder
    missing = [f"--{name}" for name in ("query", "gallery", "protocol") if not getattr(arguments, name)]
    if missing or bool(arguments.data) == bool(arguments.images):
        parser.error("give --run, or --query, --gallery, --protocol and one of --data and --images"
                     + (f"; missing: {' '.join(missing)}" if missing else ""))


def chosen_queries(wanted: Iterable[str], names: np.ndarray) -> list[int]:
    """The numbers of the queries that are named; InputError for a name that is not there."""
    place = {name: number for number, name in enumerate(names.tolist())}
    unknown = [name for name in wanted if name not in place]
    if unknown:
        raise InputError(f"--names {unknown[0]}: there is no query of that name; the first is {names[0]}")
    return [place[name] for name in wanted]


if __name__ == "__main__":
    sys.exit(main())
