"""Put the results of runs beside the paper's: one HTML page, and the tables as text, Markdown and CSV."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
from pathlib import Path

from reid.common.errors import InputError, Parser, command_line
from reid.common.files import write_whole
from reid.formats import experiment_record
from reid.formats.feature_file import read_features
from reid.metrics.protocol import rank
from reid.report import claims, layout, paper as papers, ranked
from reid.report.document import Report, write
from reid.report.html import Html, tag
from reid.report.results import Group, Section, gather, unfinished
from reid.report.table import as_csv, as_markdown, as_text, tables
from reid.stages import chain

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
COUNT = 7    # gallery pictures in a list


@command_line
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder with runs of tools/train_stage.sh")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--competitors", action="store_true",
                        help="print the other methods' rows of Tables I and II too, as the paper gives them")
    parser.add_argument("--lists", type=int, default=3, metavar="N",
                        help="ranked lists with pictures for each way to train whose features and data are "
                             "there (default 3: the worst, a middle and the best query); 0: none")
    arguments = parser.parse_args()

    report = load(arguments.runs, arguments.lists)
    every = [table for section in report.sections
             for table in tables(section, report.paper, arguments.competitors)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(map(as_text, every))
    write_whole(arguments.out / "table.txt", text)
    write_whole(arguments.out / "table.md", markdown(report, arguments.competitors) + "\n"
                + "\n".join(map(as_markdown, every)))
    write_whole(arguments.out / "table.csv", as_csv(every))
    for generated, placed in report.worlds():
        write_whole(arguments.out / f"paper-tables{'-generated' if generated else ''}.csv",
                    layout.as_csv(placed.tables() + placed.figure2(), generated))
    write_whole(arguments.out / "report.html", write(report))
    print(text)
    print(f"report: {arguments.out / 'report.html'}; tables: table.txt, table.md, table.csv, "
          "paper-tables*.csv")
    return 0


def load(runs: Path, lists: int = 0) -> Report:
    """The Report of a folder of runs; lists: how many ranked lists for each way to train."""
    return Report(gather(runs), papers.load(EXPERIMENTS / "paper.yaml"),
                  chain.load(EXPERIMENTS / "stages.yaml"),
                  claims.load(EXPERIMENTS / "claims.yaml"), runs, tuple(unfinished(runs)),
                  experiment_record.read(runs),
                  (lambda section, group: ranked_of(section, group, lists)) if lists > 0 else None)


def markdown(report: Report, competitors: bool = False) -> str:
    """The paper's tables and Fig. 2 with ours in them."""
    parts = []
    for generated, placed in report.worlds():
        for table in placed.tables() + placed.figure2():
            title = table.title + (" (generated people)" if generated else "")
            parts += [f"### {title}", "", *(part for note in table.notes for part in (note, "")),
                      layout.as_markdown(table, competitors)]
    return "\n".join(parts)


def ranked_of(section: Section, group: Group, count: int) -> Html | None:
    """Ranked lists of the first run of a Group, or why there are none; None where it names no data."""
    folder, result = group.folders[0], group.results[0]
    if not result.data_folder:
        return None
    files = {side: folder / "features/after" / f"{side}.npz" for side in ("query", "gallery")}
    data = (folder / result.data_folder).resolve()
    gone = [path for path in (*files.values(), data) if not path.exists()]
    if gone:
        return tag("p", f"No ranked lists: {gone[0]} is not there")
    query, gallery = (read_features(files[side]) for side in ("query", "gallery"))
    try:
        pictures = ranked.Prepared(data)
        ranking = rank(result.protocol, query, gallery)
        numbers = ranked.spread(ranking, count)
        found = ranked.as_html(result.protocol, query, ranking, numbers, ranked.ranked_lists(
            result.protocol, query, gallery, numbers, COUNT), pictures, "h5")
    except InputError as error:
        return tag("p", f"No ranked lists: {error}")
    note = (f"{len(numbers)} queries of {len(query['ids'])} of {result.split}, evenly from the lowest "
            "average precision to the highest. Ranks are among all gallery images; junk takes none. "
            f"{ranked.LEGEND}")
    return tag("div", tag("p", note), found)


if __name__ == "__main__":
    sys.exit(main())
