"""What cannot be true, or looks copied, in published tables: proved from their figures alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import Any

from reid.report.paper import datasets_of, tables

ABOUT = Decimal("0.05")    # two figures of one net that are no further apart may be one figure


@dataclass(frozen=True)
class Figure:
    """One printed percentage.

    table, method, column: where it stands (column empty where the table has one); datasets: what it may be
    of, the stated one first; rank: k of the CMC, None for mAP; protocol: of the table; net: (base, objective,
    pretrained), None for a competitor.
    """
    table: str
    method: str
    column: str
    datasets: tuple[str, ...]
    rank: int | None
    value: Decimal
    protocol: str
    net: tuple | None

    @property
    def measure(self) -> str:
        """rank-k or mAP."""
        return "mAP" if self.rank is None else f"rank-{self.rank}"

    def __str__(self) -> str:
        place = f", {self.column}" if self.column else ""
        return f"{self.table}, {self.method}{place}: {self.measure} {self.value}"


@dataclass(frozen=True)
class Finding:
    """kind: one of CHECKS' names; text: what was found, with the figures."""
    kind: str
    text: str


def find(content: dict) -> list[Finding]:
    """All Findings in a file of tables, as reid.report.paper.load gives it, check by check."""
    rows = list(_rows(content))
    return [Finding(kind, text) for kind, check in CHECKS.items() for text in check(content, rows)]


def possible(value: Decimal, n: int) -> bool:
    """Whether some k/n, as a percentage, rounds to `value` at its decimals; a half may be rounded either way.

    >>> possible(Decimal("33.33"), 3), possible(Decimal("33.3"), 3), possible(Decimal("33.34"), 3)
    (True, True, False)
    """
    nearest = int((value * n / 100).to_integral_value())
    return abs(100 * Decimal(nearest) - value * n) * 2 <= n * Decimal(1).scaleb(value.as_tuple().exponent)


def counted(content: dict) -> list[tuple[Figure, str, int, bool]]:
    """(figure, dataset, N, whether it is possible) for each CMC figure and dataset with a known N.

    N is queries × splits. Random splits are those of the paper's own rows, so a competitor's figure has a
    known N only where the dataset has one split; and its last zeros may have been added when it was copied.
    """
    out = []
    for figure in (figure for row in _rows(content) for figure in row if figure.rank):
        for dataset in figure.datasets:
            entry = content["datasets"][dataset]
            if entry["splits"] == 1 or entry["splits"] and figure.net:
                n = entry["queries"] * entry["splits"]
                value = figure.value if figure.net else _bare(figure.value)
                out.append((figure, dataset, n, possible(value, n)))
    return out


def _bare(value: Decimal) -> Decimal:
    """A figure without zeros at the end of its decimals."""
    while value.as_tuple().exponent < 0 and value.as_tuple().digits[-1] == 0:
        value = value.quantize(Decimal(1).scaleb(value.as_tuple().exponent + 1))
    return value


def _rows(content: dict[str, Any]) -> Iterator[list[Figure]]:
    """The Figures of each column of each row."""
    for table in tables(content).values():
        columns, name = table["columns"], table["title"].partition(",")[0]
        values = [value for row in table["rows"] for column in columns for value in row.get(column) or []]
        exponents = [Decimal(str(value)).as_tuple().exponent for value in values]
        last = Decimal(1).scaleb(min(exponents, default=0))
        for row in table["rows"]:
            net = (row["base"], row["objective"], row.get("pretrained", True)) if "base" in row else None
            method = row["method"] + (" from scratch" if net and not net[2] else "")
            for column, measures in columns.items():
                place = method, column if len(columns) > 1 else "", tuple(datasets_of(table, column))
                ranks = [{"rank-1": 1, "mAP": None}.get(measure, measure) for measure in measures]
                yield [Figure(name, *place, rank, Decimal(str(value)).quantize(last), table["protocol"], net)
                       for rank, value in zip(ranks, row.get(column) or [])]


def _mean_precision(content: dict[str, Any], rows: Sequence[Sequence[Figure]]) -> Iterator[str]:
    """Single-shot has one match for each query: AP is 1 at rank 1, above 0 elsewhere; so mAP ≥ rank-1."""
    for row in rows:
        by_rank = {figure.rank: figure for figure in row if figure.protocol == "single-shot"}
        if None in by_rank and 1 in by_rank and by_rank[None].value < by_rank[1].value:
            yield f"{by_rank[None]} is below rank-1 {by_rank[1].value}; single-shot mAP is at least rank-1"


def _monotone(content: dict[str, Any], rows: Sequence[Sequence[Figure]]) -> Iterator[str]:
    for row in rows:
        curve = sorted((figure for figure in row if figure.rank), key=lambda figure: figure.rank)
        for lower, higher in zip(curve, curve[1:]):
            if higher.value < lower.value:
                yield f"{higher} is below {lower.measure} {lower.value}; a CMC never falls"


def _whole_counts(content: dict[str, Any], rows: Sequence[Sequence[Figure]]) -> Iterator[str]:
    tried = {}
    for figure, dataset, n, fits in counted(content):
        tried.setdefault(figure, []).append((dataset, n, fits))
    for figure, found in tried.items():
        if not any(fits for _, _, fits in found):
            yield f"{figure} is no " + " and no ".join(f"k/{n} ({dataset})" for dataset, n, _ in found)


def _repeated(content: dict[str, Any], rows: Sequence[Sequence[Figure]]) -> Iterator[str]:
    """The same figure in two tables; of one net under one measure also about the same."""
    for one, other in combinations([figure for row in rows for figure in row], 2):
        if one.table != other.table and (one.net or other.net):
            alike = one.net is not None and (one.net, one.rank) == (other.net, other.rank)
            if one.value == other.value or alike and abs(one.value - other.value) <= ABOUT:
                yield f"{one} {'is' if one.value == other.value else 'is about'} {other}"


def _two_figures(content: dict[str, Any], rows: Sequence[Sequence[Figure]]) -> Iterator[str]:
    """One experiment (net, dataset, measure) with two figures in two tables."""
    for one, other in combinations([figure for row in rows for figure in row if figure.net], 2):
        same = (one.net, one.datasets[0], one.rank) == (other.net, other.datasets[0], other.rank)
        if same and one.table != other.table and one.value != other.value:
            yield f"{one}, but {other}: both are of {one.datasets[0]}"


def _mixture(content: dict[str, Any], rows: Sequence[Sequence[Figure]]) -> Iterator[str]:
    """A row whose figures stand elsewhere for different datasets."""
    every = [figure for row in rows for figure in row]
    for row in rows:
        sources = {figure: {other.datasets[0] for other in every if other.table != figure.table and
                            figure.net and (figure.net, figure.rank) == (other.net, other.rank)
                            and abs(figure.value - other.value) <= ABOUT} for figure in row}
        known = {figure: names for figure, names in sources.items() if names}
        if len(known) > 1 and not set.intersection(*known.values()):
            found = [f"{figure.measure} {figure.value} is that of {' and '.join(sorted(names))}"
                     for figure, names in known.items()]
            yield f"{row[0].table}, {row[0].method}: {', '.join(found)} in another table"


def _references(content: dict[str, Any], rows: Sequence[Sequence[Figure]]) -> Iterator[str]:
    last = content.get("references")
    if last is None:
        return
    for table in tables(content).values():
        name = table["title"].partition(",")[0]
        for row in table["rows"]:
            for number in map(int, re.findall(r"\[(\d+)\]", row["method"])):
                if not 1 <= number <= last:
                    yield f"{name}, {row['method']}: the list of references has 1 to {last}"


CHECKS = {"mAP below rank-1": _mean_precision, "CMC falls": _monotone, "no k/N": _whole_counts,
          "same figure in two tables": _repeated, "two figures for one experiment": _two_figures,
          "mixture of datasets": _mixture, "no such reference": _references}
