"""The course of a training as charts: losses, rank-1, learning rate, pair ratio; and its alarms.

A chart is there only where a run has recorded what it shows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from reid.common.errors import InputError
from reid.engine import tables
from reid.engine.alarms import alarms
from reid.engine.tables import read
from reid.report.chart import Chart, Point, Series
from reid.report.results import Group

Columns = dict[str, list[float]]    # of a table
GUESSING = float(np.log(2))
PAPER_RATIO = 3    # different pairs to each same pair, where the paper ends
POINTS = 100       # of a line: each is the mean over so much of the training


def charts(group: Group) -> list[Chart]:
    """The Charts of all runs of a Group, each without what was not recorded.

    A result may be kept without its tables. InputError where those that are there are not what it says.
    """
    for result, folder in zip(group.results, group.folders):
        there = any((folder / name).is_file() for name in result.tables or ())
        other = tables.lacking(folder, result) if there else None
        if other:
            raise InputError(f"{folder / other}: is not as it was when the run was finished; bring it back, "
                             f"or delete {folder} and train again")
    tables_of = [{name: read(folder / f"{name}.csv") for name in ("losses", "test", "evaluation", "epochs")}
                 for folder in group.folders]
    marks = tuple(sorted({alarm["iteration"] for folder in group.folders for alarm in alarms(folder)}))
    ends = [result.iterations for result in group.results]
    panels = [
        _panel("identification loss", "loss", _losses(tables_of, "id"), marks=marks),
        _panel("verification loss", "loss", _losses(tables_of, "verif"), marks=marks,
               rules=((GUESSING, "guessing, log 2"),)),
        _panel("rank-1 of the test identities", "rank-1, %", _series(
            "test identities", 3, [_columns(table["evaluation"], "rank_1", 100) for table in tables_of],
            dots=True)),
        _panel("learning rate", "rate", _changing(_series(
            "learning rate", 1, [_columns(table["losses"], "lr") for table in tables_of[:1]]))),
        _panel("different pairs to each same pair", "ratio", _changing(_series(
            "realised", 1, [_steps(table["epochs"], end) for table, end in zip(tables_of[:1], ends)])),
            rules=((PAPER_RATIO, "where the paper ends"),))]
    return [panel for panel in panels if panel]


def alarms_of(group: Group) -> list[tuple[int, str, str]]:
    """[(iteration, split, name)] of all runs of a Group, in order."""
    return sorted((alarm["iteration"], result.split, alarm["alarm"])
                  for result, folder in zip(group.results, group.folders) for alarm in alarms(folder))


def _panel(title: str, y: str, series: list[Series], **more: Any) -> Chart | None:
    return Chart(title, "iteration", y, series, **more) if series else None


def _losses(runs: Sequence[dict[str, Columns]], part: str) -> list[Series]:
    """Training and held-out losses of one head: id of both branches, or verif."""
    return (_series("training", 1, [_thin(_mean_loss(table["losses"], part)) for table in runs])
            + _series("held-out pairs", 2, [_mean_loss(table["test"], part) for table in runs], dots=True))


def _series(name: str, colour: int, curves: Sequence[list[Point]], dots: bool = False) -> list[Series]:
    return [Series(name, points, colour, dots=dots) for points in curves if points]


def _columns(table: Columns, column: str, factor: float = 1) -> list[Point]:
    return [(x, factor * y) for x, y in zip(table.get("iteration", []), table.get(column, []))]


def _mean_loss(table: Columns, part: str) -> list[Point]:
    """(iteration, mean of the losses of one head) for each row."""
    columns = [values for name, values in table.items() if name.startswith(f"loss_{part}")]
    return list(zip(table["iteration"], np.mean(columns, axis=0).tolist())) if columns else []


def _thin(points: Sequence[Point]) -> list[Point]:
    """At most POINTS points: the means over stretches of equal length, each at its end."""
    width = -(-len(points) // POINTS) or 1
    stretches = [points[start:start + width] for start in range(0, len(points), width)]
    return [(stretch[-1][0], float(np.mean([y for _, y in stretch]))) for stretch in stretches]


def _steps(epochs: Columns, iterations: int) -> list[Point]:
    """The realised ratio of the pairs, a step for each epoch; the last lasts till the end of the run."""
    starts, ratios = epochs.get("iteration", []), epochs.get("ratio", [])
    ends = [*starts[1:], max(iterations, starts[-1])] if starts else []
    return [point for start, end, ratio in zip(starts, ends, ratios)
            for point in ((start, ratio), (end, ratio))]


def _changing(series: Sequence[Series]) -> list[Series]:
    """Series whose values are not all the same."""
    return [Series(one.name, _corners(one.points), one.colour) for one in series
            if len({y for _, y in one.points}) > 1]


def _corners(points: Sequence[Point]) -> list[Point]:
    """Points without those on a level line between two others."""
    return [point for place, point in enumerate(points) if place in (0, len(points) - 1)
            or not points[place - 1][1] == point[1] == points[place + 1][1]]
