"""Put the results of runs beside the paper's: tables (text, Markdown, CSV) and the curves of the losses."""

import argparse
import sys
from pathlib import Path

from reid.common.errors import command_line
from reid.common.files import write_whole
from reid.report import paper as papers
from reid.report.curves import draw
from reid.report.results import gather
from reid.report.table import as_csv, as_markdown, as_text, tables

PAPER = Path(__file__).resolve().parents[1] / "experiments" / "paper.yaml"


@command_line
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder with runs of tools/train_stage.sh")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--competitors", action="store_true",
                        help="print the other methods' rows of Tables I and II too, as the paper gives them")
    arguments = parser.parse_args()

    paper = papers.load(PAPER)
    sections = gather(arguments.runs)
    every = [table for section in sections for table in tables(section, paper, arguments.competitors)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(map(as_text, every))
    write_whole(arguments.out / "table.txt", text)
    write_whole(arguments.out / "table.md", "\n".join(map(as_markdown, every)))
    write_whole(arguments.out / "table.csv", as_csv(every))
    print(text)
    groups = [(section, group) for section in sections for group in section.groups]
    for number, (section, group) in enumerate(groups, 1):
        path = arguments.out / f"curves-{section.stage}-{number:02d}.png"
        if draw(path, section, group):
            print(f"curves of {group.name}: {path}")
    print(f"tables: {arguments.out / 'table.txt'}, table.md, table.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
