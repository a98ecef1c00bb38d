"""Our results in the paper's own tables: methods down, datasets and ranks across."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any

from reid.engine.settings import Settings
from reid.formats.result import Result
from reid.report import paper as papers
from reid.report.results import (
    OBJECTIVES,
    PRETRAINED,
    RANDOM,
    UNKNOWN,
    Group,
    Section,
    Unfinished,
    differing,
    settings_of,
    start_of,
)
from reid.stages.chain import Chains

NAMES = {"viper": "VIPeR", "cuhk01": "CUHK01 (p=100)", "cuhk03": "CUHK03", "market1501": "Market-1501",
         "large": "Market-1501 + CUHK03"}
Measure = int | str    # a rank, "rank-1" or "mAP"
COLUMNS = {"single_query": "Single query", "multi_query": "Multiple query"}
NETS = {"resnet50": "ResNet-50", "vgg16": "VGG16", "tiny": "tiny"}
# What of a summary stands in a column beside its measure. Multiple queries: the mean of their features.
INSIDE = {"multi_query": ("multi_query", "mean")}


@dataclass(frozen=True)
class Mean:
    """Over n runs, in per cent: the mean, and the standard deviation (n − 1), None of a single run."""
    mean: float
    deviation: float | None
    n: int


@dataclass(frozen=True)
class Head:
    """The columns of one dataset. column: of the paper's table; measures: as in paper.yaml."""
    column: str
    dataset: str
    label: str
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class Cell:
    """What stands in a method's row under a Head.

    paper: its figures, or None; ours: a Mean (or None) for each measure where a Group was run, else None, and
    `why` says why not; others: how many other Groups could stand here too.
    """
    paper: list[float] | None
    ours: list[Mean | None] | None = None
    group: Group | None = None
    why: str = ""
    others: int = 0


@dataclass(frozen=True)
class Line:
    """A method's row. rebuilt: whether this project trains it (else it is a competitor's)."""
    method: str
    rebuilt: bool
    cells: list[Cell]


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables. notes: what is said of it."""
    name: str
    title: str
    notes: tuple[str, ...]
    heads: list[Head]
    lines: list[Line]


FIGURE2 = Head("single_query", "market1501", COLUMNS["single_query"], ("rank-1", "mAP"))


class Layout:
    """Puts the groups of Sections, all real or all generated, into the paper's tables.

    paper: reid.report.paper.load; chains: reid.stages.chain.load, whose first chain is the paper's;
    unfinished: reid.report.results.unfinished; planned: cells of experiment.json, each with its "table".
    """

    def __init__(self, sections: Sequence[Section], paper: dict[str, Any], chains: Chains,
                 unfinished: Sequence[Unfinished] = (), planned: Sequence[dict[str, Any]] = ()) -> None:
        self.sections, self.paper, self.chains, self.unfinished = sections, paper, chains, unfinished
        self.planned = planned
        self.stands_in = {name for kind, name in chains.stands_for.values() if kind == "stage"}
        self.placed = []    # groups that a row of the paper's shows

    def tables(self) -> list[PaperTable]:
        """The PaperTables, each row of the paper's and then what we ran that it has no row for."""
        found = [self._table(name, table) for name, table in papers.tables(self.paper).items()]
        return [replace(table, lines=table.lines + self._own_lines(table)) if table.name != "table3"
                else table
                for table in found]

    def curves(self) -> list[list[tuple[float, Group]]]:
        """Fig. 2: for each way to train with both losses on Market-1501 its (λ, Group), λ rising."""
        ways = {}
        for group in (group for section in self.sections if section.dataset == FIGURE2.dataset
                      for group in section.groups):
            result, settings = group.results[0], settings_of(group.results[0])
            if result.objective == "vi" and result.after and "verif_weight" in settings:
                weight = settings.pop("verif_weight")
                way = str([result.base, self.start(group), result.iterations, settings])
                ways.setdefault(way, []).append((weight, group))
        return [sorted(points, key=lambda point: point[0]) for points in ways.values()]

    def figure2(self) -> list[PaperTable]:
        """The points of Fig. 2's curves as a table; none where there is no curve."""
        lines = []
        for weight, group in (point for points in self.curves() if is_curve(points) for point in points):
            ours = [measured(group, "after", FIGURE2, measure) for measure in FIGURE2.measures]
            name = f"λ = {weight:g}: {describe_training(group)}, from {self.describe_start(group)}"
            lines.append(Line(name, True, [Cell(None, ours, group)]))
        title = self.paper.get("figure2", {}).get("title", "Fig. 2")
        return [PaperTable("figure2", title, (), [FIGURE2], lines)] if lines else []

    def start(self, group: Group) -> tuple[str, ...]:
        """Where a Group's weights come from: reid.report.results.start_of."""
        return start_of(group.results[0], self.stands_in)

    def describe_start(self, group: Group) -> str:
        """It in words."""
        origin, *stages = self.start(group)
        return " → ".join([self._origin(group.results[0].base, origin),
                           *(NAMES.get(stage, stage) for stage in stages)])

    def _origin(self, base: str, origin: str) -> str:
        if origin == PRETRAINED and self.chains.stands_for.get(base, ("weights",))[0] == "stage":
            return "pre-training"    # of a net that nobody has trained on ImageNet
        return {PRETRAINED: "ImageNet", RANDOM: "random weights",
                UNKNOWN: "weights of unknown origin"}[origin]

    def _table(self, name: str, table: dict[str, Any]) -> PaperTable:
        heads = [Head(column, dataset, _label(column, dataset), tuple(measures))
                 for column, measures in table["columns"].items()
                 for dataset in papers.datasets_of(table, column)]
        notes = (table["doubt"],) if "doubt" in table else ()
        lines = [Line(row["method"] + _pretraining(row), "base" in row,
                      [self._cell(row, head, name) if "base" in row else Cell(row[head.column])
                       for head in heads])
                 for row in table["rows"]]
        return PaperTable(name, table["title"], notes, heads, lines)

    def _cell(self, row: dict[str, Any], head: Head, table: str) -> Cell:
        groups = [group for section in self.sections for group in section.groups
                  if section.dataset == head.dataset]
        fitting = [group for group in groups if not self._unlike(group, row)]
        cell = Cell(row.get(head.column))
        if fitting:
            return self._filled(cell, fitting, head)
        return replace(cell, why=self._why_not(groups, row, head, table))

    def _filled(self, cell: Cell, groups: Sequence[Group], head: Head) -> Cell:
        """A Cell with the Group of them that was trained the most."""
        chosen = max(groups, key=lambda group: (extent(group), len(group.results)))
        self.placed.append(chosen)
        return replace(cell, ours=[measured(chosen, "after", head, measure) for measure in head.measures],
                       group=chosen, others=len(groups) - 1)

    def _unlike(self, group: Group, row: dict[str, Any]) -> str:
        """Why a Group is not a row of the paper's; "" where it is."""
        result = group.results[0]
        if result.base != row["base"] or result.objective != row["objective"]:
            return "another net or loss"
        if not result.after:
            return "not trained"
        weight = result.settings.get("verif_weight", Settings.verif_weight)
        if result.objective == "vi" and weight != Settings.verif_weight:
            return f"run with λ = {weight:g}"
        start, wanted = self.start(group), self._start_of_row(row, result)
        if start[0] == UNKNOWN:
            return "run, but from weights of unknown origin"
        return "" if start == wanted else f"run, but from {self.describe_start(group)}"

    def _start_of_row(self, row: dict[str, Any], result: Result) -> tuple[str, ...]:
        """Where the weights of a row of the paper's come from, as start_of says it."""
        if "pretrained" in row:
            return (PRETRAINED,) if row["pretrained"] else (RANDOM,)
        chain = next(iter(self.chains.chains.values()))
        before, stage = [], result.stage
        while row["objective"] != "i" and stage in chain and (stage := chain[stage].parent) in chain:
            before.insert(0, stage)
        return PRETRAINED, *before

    def _why_not(self, groups: Sequence[Group], row: dict[str, Any], head: Head, table: str) -> str:
        """Why there is nothing of ours under a row of the paper's."""
        net, loss = NETS.get(row["base"], row["base"]), OBJECTIVES[row["objective"]]
        for run in self.unfinished:
            if (run.stage, run.base, run.objective, run.pretrained) == (
                    head.dataset, row["base"], row["objective"], row.get("pretrained", True)):
                return f"being trained: {run.iterations:,} iterations so far"
        for cell in self.planned:
            same = all(cell.get(key) == value for key, value in (
                ("table", table), ("stage", head.dataset), ("objective", row["objective"])))
            scratch = "pretrained" in row and (cell.get("chain") == "scratch") == row["pretrained"]
            if not same or scratch:
                continue
            if cell.get("base") == row["base"] and cell.get("why"):
                return f"not run: {cell['why']}"
            if cell.get("base") != row["base"] and cell.get("method") == row["method"] and cell.get("result"):
                return f"run with {NETS.get(cell['base'], cell['base'])} in its place"
        near = [why for group in groups if (why := self._unlike(group, row)) != "another net or loss"]
        if near:
            return near[0]
        if not groups:
            return "not run: nothing trained on this dataset"
        if all(group.results[0].base != row["base"] for group in groups):
            return f"not run: no {net} trained here"
        return f"not run: no {net} with {loss} here"

    def _own_lines(self, table: PaperTable) -> list[Line]:
        """Lines for what was run that no row of the paper's shows, by net, losses and start."""
        rows = {}
        datasets = {head.dataset for head in table.heads}
        for section in self.sections:
            for group in section.groups:
                if section.dataset in datasets and group.results[0].after and not self._is_placed(group):
                    result = group.results[0]
                    origin, *between = self.start(group)
                    key = (result.base, result.objective, (origin, bool(between)),
                           self._changed(group))
                    rows.setdefault(key, []).append((section.dataset, group))
        lines = []
        for (base, objective, (origin, chain), changed), groups in sorted(rows.items()):
            cells = []
            for head in table.heads:
                here = [group for dataset, group in groups if dataset == head.dataset]
                cells.append(self._filled(Cell(None), here, head) if here else Cell(None, why="not run"))
            start = self._origin(base, origin) + (", then other datasets" if chain else "")
            name = f"{NETS.get(base, base)} ({OBJECTIVES[objective]}) from {start}{changed}"
            lines.append(Line(name, True, cells))
        return lines

    def _changed(self, group: Group) -> str:
        """The settings in which a Group is not as that in the paper's row of its stage, net, loss, start."""
        def kind(one: Group) -> tuple:
            return one.results[0].stage, one.results[0].base, one.results[0].objective, self.start(one)
        alike = [other.results[0] for other in self.placed if kind(other) == kind(group)]
        return differing(group.results[0], alike[:1])

    def _is_placed(self, group: Group) -> bool:
        return any(group is other for other in self.placed)


def is_curve(points: Sequence[tuple[float, Group]]) -> bool:
    """Whether (λ, Group)s are of more than one λ."""
    return len({weight for weight, _ in points}) > 1


def describe_training(group: Group) -> str:
    """How a Group was trained, in a line."""
    result = group.results[0]
    settings = settings_of(result)
    height, width = settings.get("input", ("?", "?"))
    epochs = settings.get("epochs")
    return (f"{NAMES.get(result.stage, result.stage)}, {result.base} ({OBJECTIVES[result.objective]}): "
            f"{height}×{width} pixels, batches of {settings.get('batch')} pairs, "
            f"{result.iterations:,} iterations" + (f", {epochs:g} epochs" if epochs is not None else ""))


def measured(group: Group, when: str, head: Head, measure: Measure) -> Mean | None:
    """The Mean of a Group's figure "before" or "after", under a Head; None where a run does not have it."""
    values = [at(getattr(result, when), inside(head.column, measure)) for result in group.runs()]
    if None in values:
        return None
    percent = [100 * value for value in values]
    return Mean(mean(percent), stdev(percent) if len(percent) > 1 else None, len(percent))


def inside(column: str, measure: Measure) -> tuple[str, ...]:
    """Where in a summary a column's measure lies. The mAP is the dataset's own, `trapezoid`."""
    path = ("mAP", "trapezoid") if measure == "mAP" else ("cmc", "1" if measure == "rank-1" else str(measure))
    return INSIDE.get(column, ()) + path


def at(figures: Mapping[str, Any] | None, path: Sequence[str]) -> Any:
    """The value at a path of keys of a summary, None where it does not have it."""
    for key in path:
        figures = figures.get(key) if figures else None
    return figures


def extent(group: Group) -> int:
    """How much a Group was trained: pixels that it saw."""
    result = group.results[0]
    settings = settings_of(result)
    height, width = settings.get("input", (224, 224))
    return height * width * settings.get("batch", 1) * result.iterations


def describe_measure(measure: Measure) -> str:
    """A measure of paper.yaml as it stands in a table's head."""
    return f"r={measure}" if isinstance(measure, int) else measure


def show(value: Mean | float | None) -> str:
    """A Mean, or a figure of the paper's, in a table."""
    if value is None:
        return "–"
    if not isinstance(value, Mean):
        return f"{value:.2f}"
    return f"{value.mean:.2f}" + ("" if value.deviation is None else f" ± {value.deviation:.2f}")


def difference(ours: Mean | None, theirs: float | None) -> str:
    """Ours less the paper's, with its sign; a dash where either is not there."""
    if ours is None or theirs is None:
        return "–"
    return f"{round(ours.mean, 2) - theirs:+.2f}".replace("-", "−")


def as_markdown(table: PaperTable, competitors: bool = False) -> str:
    """A PaperTable in Markdown: for each method the paper's row, ours and the difference."""
    heads = [f"{head.label}, {describe_measure(measure)}" for head in table.heads
             for measure in head.measures]
    lines = [f"| method | | {' | '.join(heads)} |", "| --- | --- |" + " ---: |" * len(heads)]
    for line in table.lines:
        name = line.method
        for kind, cells in three(line, table.heads) if line.rebuilt or competitors else ():
            lines.append(f"| {name} | {kind} | {' | '.join(cells)} |")
            name = ""
    return "\n".join([*lines, ""])


def three(line: Line, heads: Sequence[Head]) -> list[tuple[str, list[str]]]:
    """("paper", cells), ("ours", …), ("difference", …) of a Line as texts; those that have nothing left out.

    A cell of ours that was not run says why, in the first column of its dataset.
    """
    paper, ours, apart = [], [], []
    for head, cell in zip(heads, line.cells):
        nothing = [None] * len(head.measures)
        paper += map(show, cell.paper or nothing)
        ours += ([f"{show(value)} (n={value.n})" if value else "–" for value in cell.ours] if cell.ours
                 else [cell.why or "–", *[""] * (len(nothing) - 1)])
        apart += map(difference, cell.ours or nothing, cell.paper or nothing)
    run, printed = any(cell.ours for cell in line.cells), any(cell.paper for cell in line.cells)
    return [(kind, cells) for kind, cells, there in (("paper", paper, printed), ("ours", ours, line.rebuilt),
                                                     ("difference", apart, run and printed)) if there]


def as_csv(tables: Sequence[PaperTable], generated: bool) -> str:
    """PaperTables as CSV, a line for each figure: the paper's, ours, and why there is none of ours."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["table", "method", "dataset", "column", "measure", "generated", "paper", "ours", "std",
                     "runs", "difference", "remark"])
    for table in tables:
        for line in table.lines:
            for head, cell in zip(table.heads, line.cells):
                for number, measure in enumerate(head.measures):
                    theirs, ours = (part[number] if part else None for part in (cell.paper, cell.ours))
                    numbers = (ours.mean, ours.deviation) if ours else (None, None)
                    apart = round(ours.mean - theirs, 4) if ours and theirs is not None else None
                    writer.writerow([table.name, line.method, head.dataset, head.column,
                                     describe_measure(measure), generated, theirs,
                                     *(None if value is None else round(value, 4) for value in numbers),
                                     ours.n if ours else None, apart, cell.why])
    return file.getvalue()


def _label(column: str, dataset: str) -> str:
    if column in NAMES:
        return NAMES[column]
    return COLUMNS[column] if column in COLUMNS else NAMES.get(dataset, dataset)


def _pretraining(row: dict[str, Any]) -> str:
    return {True: ", pre-trained", False: ", from scratch", None: ""}[row.get("pretrained")]
