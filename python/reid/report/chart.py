"""Curves as inline SVG that a screen reader can tell of, in the colours of the page that it stands in."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from reid.report.html import Html, tag

Point = tuple[float, float]             # x, y
Axis = Callable[[float], float]         # from a value to its place in the picture
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 300, 56, 20, 12, 46
APART = 40     # numbers below an axis, at least
COLOURS = 5    # s1 … of report.css, each with dashes of its own


@dataclass(frozen=True)
class Series:
    """A line, or points alone. points: (x, y); colour: 1 to COLOURS."""
    name: str
    points: list[Point]
    colour: int = 1
    line: bool = True
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """What a picture shows.

    x, y: the axes' names with units; from_zero: whether y begins at 0; rules: (y, name) of horizontal lines;
    marks: x of vertical ones; log: whether x is logarithmic.
    """
    title: str
    x: str
    y: str
    series: list[Series]
    from_zero: bool = True
    rules: tuple[tuple[float, str], ...] = ()
    marks: tuple[float, ...] = ()
    log: bool = False


def draw(chart: Chart, ident: str) -> Html:
    """The chart as an SVG element; `ident` is its id in the page, told to screen readers with `describe`."""
    points = [point for series in chart.series for point in series.points]
    to_x = _scale([x for x, _ in points], LEFT, WIDTH - RIGHT, chart.log)
    lows = [0] if chart.from_zero else []
    ys = [y for _, y in points] + [y for y, _ in chart.rules] + lows
    ticks_y = _ticks(min(ys), max(ys))
    low, high = min(ticks_y[0], *ys), max(ticks_y[-1], *ys)
    to_y = _scale([low, high], HEIGHT - BOTTOM, TOP)
    parts = [_grid(ticks_y, to_y), _across(points, to_x)]
    parts += [tag("path", d=f"M{LEFT} {to_y(y):.1f}H{WIDTH - RIGHT}", class_="rule") for y, _ in chart.rules]
    parts += [tag("text", name, x=WIDTH - RIGHT, text_anchor="end",
                  y=f"{to_y(y) + (14 if to_y(y) < TOP + 14 else -4):.1f}")
              for y, name in chart.rules]
    parts += [tag("path", d=f"M{to_x(x):.1f} {TOP}V{HEIGHT - BOTTOM}", class_="mark") for x in chart.marks]
    parts += [_series(series, to_x, to_y) for series in chart.series]
    parts += [tag("path", d=f"M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}", class_="axis"),
              tag("text", chart.x, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, text_anchor="middle"),
              tag("text", chart.y, x=14, y=(TOP + HEIGHT - BOTTOM) / 2, text_anchor="middle",
                  transform=f"rotate(-90 14 {(TOP + HEIGHT - BOTTOM) / 2})")]
    legend, height = _legend(chart.series)
    return tag("svg", tag("title", chart.title, id=f"{ident}-title"),
               tag("desc", describe(chart), id=f"{ident}-desc"), *parts, legend, class_="chart",
               viewBox=f"0 0 {WIDTH} {HEIGHT + height}", role="img",
               aria_labelledby=f"{ident}-title {ident}-desc", xmlns="http://www.w3.org/2000/svg")


def describe(chart: Chart) -> str:
    """The chart in words: where each series begins, ends, and is lowest and highest."""
    said = []
    for series in chart.series:
        if len(series.points) < 6:
            said.append(f"{series.name}: " + ", ".join(f"{y:.4g} at {x:g}" for x, y in series.points))
        else:
            (x, y), (last_x, last_y) = series.points[0], series.points[-1]
            values = [value for _, value in series.points]
            said.append(f"{series.name}: from {y:.3g} at {x:g} to {last_y:.3g} at {last_x:g}, lowest "
                        f"{min(values):.3g}, highest {max(values):.3g}")
    return f"{chart.y} by {chart.x}. " + "; ".join(said) + "."


def _scale(values: Sequence[float], start: float, end: float, log: bool = False) -> Axis:
    """A function from the range of `values` to that from start to end."""
    forward = math.log if log else float
    low, high = forward(min(values)), forward(max(values))
    if low == high:
        low, high = low - 1, high + 1
    return lambda value: start + (forward(value) - low) / (high - low) * (end - start)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from below `low` to above `high`."""
    if low == high:
        low, high = low - abs(low or 1) / 2, high + abs(high or 1) / 2
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (step * factor) <= 5)
    first = math.floor(low / step)
    return [number * step for number in range(first, math.ceil(high / step) + 1)]


def _grid(ticks: Iterable[float], to_y: Axis) -> Html:
    return tag("g", *(part for y in ticks for part in (
        tag("path", d=f"M{LEFT} {to_y(y):.1f}H{WIDTH - RIGHT}", class_="grid"),
        tag("text", f"{y:.6g}", x=LEFT - 6, y=f"{to_y(y) + 4:.1f}", text_anchor="end"))))


def _across(points: Sequence[Point], to_x: Axis) -> Html:
    """The numbers below the x axis: the points' own where there are few."""
    there = sorted({x for x, _ in points})
    if len(there) > 8:
        low, high = there[0], there[-1]
        there = [x for x in _ticks(low, high) if low <= x <= high]
    shown = []
    for x in there:
        if not shown or to_x(x) - to_x(shown[-1]) > APART:
            shown.append(x)
    return tag("g", *(tag("text", f"{x:g}", x=f"{to_x(x):.1f}", y=HEIGHT - BOTTOM + 18, text_anchor="middle")
                      for x in shown))


def _series(series: Series, to_x: Axis, to_y: Axis) -> Html:
    places = [f"{to_x(x):.1f} {to_y(y):.1f}" for x, y in series.points]
    parts = []
    if series.line and len(places) > 1:
        parts.append(tag("path", d="M" + "L".join(places), class_=f"line s{series.colour}"))
    if series.dots or len(places) == 1:
        parts += [_dot(to_x(x), to_y(y), series.colour) for x, y in series.points]
    return tag("g", *parts)


def _dot(x: float, y: float, colour: int) -> Html:
    """A point, in a form that goes with its colour: circle, square, diamond, triangle, cross."""
    path = ("M{0} {1}m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "M{0} {1}m-4-4h8v8h-8z",
            "M{0} {1}m0-5l5 5l-5 5l-5-5z", "M{0} {1}m0-5l5 9h-10z", "M{0} {1}m-4-4l8 8m0-8l-8 8")[colour - 1]
    return tag("path", d=path.format(f"{x:.1f}", f"{y:.1f}"), class_=f"point s{colour}")


def _legend(series: Sequence[Series]) -> tuple[Html, int]:
    """The names of the series, each once, below the picture; and its height."""
    names = {one.name: one for one in reversed(series)}
    parts, lines = [], count()
    for one, line in zip(reversed(names.values()), lines):
        y = HEIGHT + 14 + 20 * line
        if one.line:
            parts.append(tag("path", d=f"M{LEFT} {y - 4}h34", class_=f"line s{one.colour}"))
        if one.dots or len(one.points) == 1:
            parts.append(_dot(LEFT + 17, y - 4, one.colour))
        parts.append(tag("text", one.name, x=LEFT + 42, y=y))
    return tag("g", *parts), 10 + 20 * len(names)
