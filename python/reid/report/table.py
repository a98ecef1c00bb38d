"""Table I's rows, the paper's beside ours: the same rows as text, Markdown and CSV."""

import csv
import io
from dataclasses import dataclass

import numpy as np

RANKS = (1, 5, 10, 20)
GENERATED = "GENERATED DATA: drawn people, not photographs. The paper's rows are for orientation only."


@dataclass(frozen=True)
class Row:
    """figures: {rank: (mean, standard deviation or None)} in per cent; splits: how many, None where unknown."""
    source: str
    method: str
    splits: int | None
    figures: dict


def rows(section, paper):
    """The Rows of a Section: each of the paper's that is rebuilt, ours of the same nets under it, what is left of
    ours, and what a colour histogram and chance would give.

    paper: table1 of experiments/paper.yaml.
    """
    out, placed = [], []
    for theirs in _rebuilt(section.dataset, paper):
        figures = {k: (value, None) for k, value in zip(paper["columns"][section.dataset], theirs[section.dataset])}
        out.append(Row("paper", theirs["method"], paper["splits"][section.dataset], figures))
        ours = [group for group in section.groups
                if all(group.results[0][key] == theirs[key] for key in ("base", "objective"))]
        placed += ours
        out += [row for group in ours for row in _ours(group)]
    out += [row for group in section.groups if group not in placed for row in _ours(group)]
    every = {(result["split"], result["data"]["test_pairs"]): result
             for group in section.groups for result in group.results}
    return out + [Row("ours", name, len(every), _figures([result[key] for result in every.values()]))
                  for name, key in (("colour histogram", "histogram"), ("chance", "chance"))]


def as_text(section, rows):
    """The table for a terminal."""
    width = max(len(row.method) for row in rows)
    lines = [_title(section), *([GENERATED] if section.generated else []), "",
             f"{'':5}  {'':{width}}  splits" + "".join(f"{f'r={k}':>15}" for k in RANKS)]
    for row in rows:
        cells = "".join(f"{_cell(row.figures.get(k)):>15}" for k in RANKS)
        lines.append(f"{row.source:5}  {row.method:{width}}  {_count(row.splits):>6}{cells}")
    return "\n".join(lines) + "\n"


def as_markdown(section, rows):
    """The table for a page."""
    lines = [f"### {_title(section)}", "", *([f"**{GENERATED}**", ""] if section.generated else []),
             f"| | method | splits | {' | '.join(f'r={k}' for k in RANKS)} |", "|---|---|---:|" + "---:|" * len(RANKS)]
    lines += [f"| {row.source} | {row.method} | {_count(row.splits)} | "
              + " | ".join(_cell(row.figures.get(k)) for k in RANKS) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def as_csv(sections):
    """All tables in one; sections: [(Section, [Row, …]), …]. Per cent; empty where there is no value."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["stage", "dataset", "generated", "source", "method", "splits",
                     *(f"r{k}_{what}" for k in RANKS for what in ("mean", "std"))])
    for section, rows in sections:
        for row in rows:
            figures = [value for k in RANKS for value in row.figures.get(k, (None, None))]
            writer.writerow([section.stage, section.dataset, section.generated, row.source, row.method, row.splits,
                             *("" if value is None else round(value, 4) for value in figures)])
    return file.getvalue()


def _rebuilt(dataset, paper):
    """The paper's rows for a dataset that this project rebuilds."""
    return [row for row in paper["rows"] if "base" in row and row.get(dataset)]


def _ours(group):
    """The rows of a group: the weights it started from, and the trained ones where it was trained."""
    out = [Row("ours", f"{group.name}, before", len(group.results), _figures([r["before"] for r in group.results]))]
    if group.results[0]["after"]:
        name = f"{group.name}, after {group.results[0]['iterations']} iterations"
        out.append(Row("ours", name, len(group.results), _figures([r["after"] for r in group.results])))
    return out


def _figures(parts):
    """{rank: (mean, standard deviation)} over splits, in per cent; no deviation of a single split."""
    shares = {k: 100 * np.array([part["cmc"][str(k)] for part in parts]) for k in RANKS}
    return {k: (float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else None) for k, v in shares.items()}


def _title(section):
    return (f"{section.stage} ({'generated people' if section.generated else section.dataset}): "
            "single-shot CMC in %, mean ± standard deviation over the splits")


def _cell(figure):
    if figure is None:
        return "-"
    mean, deviation = figure
    return f"{mean:.2f}" if deviation is None else f"{mean:.2f} ± {deviation:.2f}"


def _count(splits):
    return "-" if splits is None else str(splits)
