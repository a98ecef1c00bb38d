"""Prove from published tables alone what in them cannot be true. Exit status 1 where anything is found."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from reid.common.errors import Parser, command_line
from reid.report.contradictions import Figure, counted, find
from reid.report.paper import load

PAPER = Path(__file__).resolve().parents[1] / "experiments/paper.yaml"


@command_line
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=PAPER,
                        help="of the form of experiments/paper.yaml, the default")
    content = load(parser.parse_args().file)
    found = find(content)
    for kind, findings in groupby(found, key=lambda finding: finding.kind):
        findings = list(findings)
        print(f"{kind}: {len(findings)}")
        for finding in findings:
            print(f"  {finding.text}")
    for line in shares(content):
        print(line)
    print(f"{len(found)} findings")
    return 1 if found else 0


def shares(content: dict[str, Any]) -> Iterator[str]:
    """How many CMC figures are a k/N, for each table and dataset, and how many of any figures would be."""
    def of(one: tuple[Figure, str, int, bool]) -> tuple[str, str, int]:
        return one[0].table, one[1], one[2]
    for (table, dataset, n), group in groupby(sorted(counted(content), key=of), key=of):
        fits = [fit for *_, fit in group]
        chance = min(1, (n + 1) / 10001)    # of the figures 0.00 to 100.00; each k/N gives one
        yield (f"{table}, {dataset}: {sum(fits)} of {len(fits)} CMC figures are a k/{n}; of arbitrary ones "
               f"{chance:.0%} would be")


if __name__ == "__main__":
    sys.exit(main())
