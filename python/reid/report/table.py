"""The paper's tables, its rows beside ours: the same rows as text, Markdown and CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reid.report.layout import at
from reid.report.results import Group, Section

GENERATED = "GENERATED DATA: drawn people, not photographs. The paper's rows are for orientation only."
# Where a column's figure lies in a summary of reid.metrics.summary. The paper does not say which mAP its own
# is; the trapezoid is what Market-1501's own evaluation computed when it was written, so that one stands in
# its columns.
FIGURES = {**{f"r={k}": ("cmc", str(k)) for k in (1, 5, 10, 20)},
           "mAP": ("mAP", "trapezoid"), "mAP, step": ("mAP", "step"),
           "SQ r=1": ("cmc", "1"), "SQ mAP": ("mAP", "trapezoid"), "SQ mAP, step": ("mAP", "step"),
           "MQ r=1": ("multi_query", "mean", "cmc", "1"),
           "MQ mAP": ("multi_query", "mean", "mAP", "trapezoid"),
           "MQ mAP, step": ("multi_query", "mean", "mAP", "step")}
Figures = dict[str, tuple[float, float | None]]    # by column: mean and standard deviation, in per cent
TABLE1 = "r=1", "r=5", "r=10", "r=20"
TABLE2 = "SQ r=1", "SQ mAP", "MQ r=1", "MQ mAP", "SQ mAP, step", "MQ mAP, step"
TABLE3 = "r=1", "mAP", "mAP, step"
LEGENDS = {"single-shot": "single-shot CMC in %, mean ± standard deviation over the runs",
           "market1501": "single query (SQ) and multiple query (MQ, mean of the features) in %"}


@dataclass(frozen=True)
class Row:
    """figures: {column: (mean, standard deviation or None)} in per cent.

    runs: how many; of a row of the paper's its splits, or None where it does not say.
    """
    source: str
    method: str
    runs: int | None
    figures: Figures


@dataclass(frozen=True)
class Table:
    """One table of a Section. notes: lines that stand between its title and its rows."""
    section: Section
    title: str
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: list[Row]


def tables(section: Section, paper: dict[str, Any], competitors: bool = False) -> list[Table]:
    """The Tables of a Section.

    Table I or II, and Table III where its dataset is trained in one of its other ways.
    paper: experiments/paper.yaml, as reid.report.paper.load gives it; competitors: with other methods' rows.
    """
    marks = (GENERATED,) if section.generated else ()
    columns = TABLE2 if section.protocol == "market1501" else TABLE1
    out = [Table(section, f"{section.title}: {LEGENDS[section.protocol]}", marks, columns,
                 _main_rows(section, paper, competitors))]
    others = _table3_rows(section, paper["table3"])
    if any(row.source == "ours" for row in others):
        out.append(Table(section, f"{section.title}: Table III, losses and pre-training, in %",
                         (*marks, paper["table3"]["doubt"]), TABLE3, others))
    return out


def as_text(table: Table) -> str:
    """The table for a terminal."""
    width = max(len(row.method) for row in table.rows)
    lines = [table.title, *table.notes, "",
             f"{'':5}  {'':{width}}  {'runs':>6}" + "".join(f"{column:>15}" for column in table.columns)]
    for row in table.rows:
        cells = "".join(f"{_cell(row.figures.get(column)):>15}" for column in table.columns)
        lines.append(f"{row.source:5}  {row.method:{width}}  {_count(row.runs):>6}{cells}")
    return "\n".join(lines) + "\n"


def as_markdown(table: Table) -> str:
    """The table for a page."""
    notes = [line for note in table.notes for line in (f"**{note}**", "")]
    lines = [f"### {table.title}", "", *notes,
             f"| | method | runs | {' | '.join(table.columns)} |",
             "|---|---|---:|" + "---:|" * len(table.columns)]
    lines += [f"| {row.source} | {row.method} | {_count(row.runs)} | "
              + " | ".join(_cell(row.figures.get(column)) for column in table.columns) + " |"
              for row in table.rows]
    return "\n".join(lines) + "\n"


def as_csv(tables: Iterable[Table]) -> str:
    """All Tables in one, a line for each figure, in per cent."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["stage", "dataset", "generated", "table", "source", "method", "runs", "figure",
                     "mean", "std"])
    for table in tables:
        section = table.section
        about = section.stage, section.dataset, section.generated, table.title.split(": ")[1]
        for row in table.rows:
            for column in table.columns:
                if column in row.figures:
                    numbers = ("" if value is None else round(value, 4) for value in row.figures[column])
                    writer.writerow([*about, row.source, row.method, row.runs, column, *numbers])
    return file.getvalue()


def _main_rows(section: Section, paper: dict[str, Any], competitors: bool) -> list[Row]:
    """The Rows of Table I or II.

    Each of the paper's, those that are rebuilt with ours of the same nets under them, what is left of ours,
    and what a colour histogram and chance would give.
    """
    out, placed, printed = [], [], _printed(section, paper)
    for theirs, row in printed:
        if "base" not in theirs:
            out += [row] if competitors else []
            continue
        ours = [group for group in section.groups if _belongs(group, theirs)]
        placed += ours
        out += [row, *(row for group in ours for row in _ours(group))]
    for group in section.groups:
        if group not in placed:
            near = any(_same(group, theirs, ("base", "objective")) for theirs, _ in printed)
            out += _ours(group, _unlike_baseline(group) if near else "")
    every = {(result.split, result.data["test_pairs"]): result
             for group in section.groups for result in group.results}
    return out + [Row("ours", name, len(every), _figures([getattr(result, key) for result in every.values()]))
                  for name, key in (("colour histogram", "histogram"), ("chance", "chance"))]


def _printed(section: Section, paper: dict[str, Any]) -> list[tuple[dict[str, Any], Row]]:
    """(the paper's row, its Row) of Table I or II for a dataset. A competitor's splits are not said."""
    splits = paper["datasets"].get(section.dataset, {}).get("splits")
    if section.protocol == "market1501":
        rows = paper["table2"]["rows"] if section.dataset == "market1501" else []
        return [(row, Row("paper", row["method"], splits,
                          _plain(TABLE2, row["single_query"] + row["multi_query"]))) for row in rows]
    return [(row, Row("paper", row["method"], splits if "base" in row else None,
                      _plain(TABLE1, row[section.dataset])))
            for row in paper["table1"]["rows"] if row.get(section.dataset)]


def _belongs(group: Group, theirs: dict[str, Any]) -> bool:
    """Whether a group is a row of the paper's: its net and losses; for a Baseline, only ImageNet before."""
    return _same(group, theirs, ("base", "objective")) and not _unlike_baseline(group)


def _unlike_baseline(group: Group) -> str:
    """Why identification alone is not the paper's Baseline; "" where it is, and for other losses.

    The paper's Baseline is a net of ImageNet's trained on the dataset alone, so its parent is a recorded file
    of weights.
    """
    result = group.results[0]
    if result.objective != "i":
        return ""
    if result.init is None:
        return "not the paper's Baseline: not pre-trained"
    if result.parent_stage:
        return "not the paper's Baseline: at the end of a chain"
    if not (result.parent or {}).get("name"):
        return "the paper's Baseline only if these weights are ImageNet's; their origin is unknown"
    return ""


def _table3_rows(section: Section, table3: dict[str, Any]) -> list[Row]:
    """The Rows of Table III with ours of the same base, objective, pre-training; it means either dataset."""
    out = []
    for theirs in table3["rows"] if section.dataset in table3["datasets"] else ():
        name = theirs["method"] + (", pre-trained" if theirs["pretrained"] else ", not pre-trained")
        out.append(Row("paper", name, None, _plain(TABLE3, theirs["figures"])))
        for group in section.groups:
            pretrained = bool(group.results[0].init)
            if _same(group, theirs, ("base", "objective")) and pretrained == theirs["pretrained"]:
                out += [row for row in _ours(group) if "after" in row.method]
    return out


def _same(group: Group, theirs: dict[str, Any], keys: Iterable[str]) -> bool:
    return all(getattr(group.results[0], key) == theirs.get(key) for key in keys)


def _ours(group: Group, remark: str = "") -> list[Row]:
    """The rows of a group: the weights it started from, and the trained ones where it was trained."""
    name, runs = f"{group.name} ({remark})" if remark else group.name, group.runs()
    out = []
    if group.results[0].before:
        out.append(Row("ours", f"{name}, before", len(runs),
                       _figures([result.before for result in runs])))
    if group.results[0].after:
        after = f"{name}, after {group.results[0].iterations} iterations"
        out.append(Row("ours", after, len(runs), _figures([result.after for result in runs])))
    return out


def _plain(columns: Iterable[str], numbers: Iterable[float]) -> Figures:
    """The paper's numbers under the columns they stand in: it gives no deviations."""
    return {column: (number, None) for column, number in zip(columns, numbers)}


def _figures(parts: Sequence[dict[str, Any]]) -> Figures:
    """{column: (mean, standard deviation)} over runs, in per cent; no deviation of a single run."""
    out = {}
    for column, path in FIGURES.items():
        values = 100 * np.array([value for part in parts if (value := at(part, path)) is not None])
        if len(values):
            out[column] = float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None
    return out


def _cell(figure: tuple[float, float | None] | None) -> str:
    if figure is None:
        return "-"
    mean, deviation = figure
    return f"{mean:.2f}" if deviation is None else f"{mean:.2f} ± {deviation:.2f}"


def _count(runs: int | None) -> str:
    return "-" if runs is None else str(runs)
