"""The report: one HTML page that needs nothing else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.engine.settings import Settings
from reid.formats.result import Result
from reid.metrics.summary import RANKS
from reid.report import chart, claims, curves, layout
from reid.report.chart import Chart, Point, Series
from reid.report.claims import Claim
from reid.report.html import Html, hidden, join, page, scrolled, tag
from reid.report.layout import (
    NAMES,
    Cell,
    Head,
    Layout,
    Line,
    PaperTable,
    at,
    describe_measure,
    describe_training,
    difference,
    show,
)
from reid.report.results import OBJECTIVES, Group, Section, Unfinished
from reid.report.table import GENERATED
from reid.stages.chain import Chains

PAPER_SCALE = "224×224 pixels, batches of 48 (VGG-16) or 64 (ResNet-50) pairs, 75 epochs"
WORLDS = {False: "real", True: "generated"}


@dataclass(frozen=True)
class Report:
    """What a report is made of.

    sections: reid.report.results.gather; paper, chains, entries: the files of experiments/, loaded;
    unfinished: reid.report.results.unfinished; root: folder of the runs; experiment: of experiment.json, or
    {}; lists: function from a Section and a Group to the HTML of its ranked lists, or None.
    """
    sections: list[Section]
    paper: dict[str, Any]
    chains: Chains
    entries: dict[str, Any]
    root: Path
    unfinished: Sequence[Unfinished] = ()
    experiment: dict | None = None
    lists: Callable[[Section, Group], Html | None] | None = None

    def worlds(self) -> Iterator[tuple[bool, Layout]]:
        """(generated, Layout) of the real and the generated results, those that there are."""
        for generated in sorted({section.generated for section in self.sections}):
            sections = [section for section in self.sections if section.generated == generated]
            yield generated, Layout(sections, self.paper, self.chains, () if generated else self.unfinished,
                                    self.planned())

    def planned(self) -> list[dict[str, Any]]:
        """The cells of experiment.json, each with the name of its table."""
        experiments = (self.experiment or {}).get("experiments", {})
        return [{**cell, "table": part.get("table")} for part in experiments.values()
                for cell in part["cells"]]

    def claims(self, generated: bool) -> list[Claim]:
        """The Claims, judged by the real or by the generated results."""
        sections = [section for section in self.sections if section.generated == generated
                    and section.dataset in self.paper["datasets"]]
        stands_in = {name for kind, name in self.chains.stands_for.values() if kind == "stage"}
        return claims.judge(self.entries, sections, stands_in)


def write(report: Report) -> str:
    """The report as HTML."""
    anchors = {id(group): f"run-{number}" for number, group in enumerate(
        (group for section in report.sections for group in section.groups), 1)}
    body, contents = [_about(report)], [("about", "About these results")]
    for generated, placed in report.worlds():
        world = WORLDS[generated]
        suffix = " (generated people)" if generated else ""
        parts = [("claims", "The paper's claims", _claims(report.claims(generated))),
                 ("tables", "Tables I to III", _tables(placed, anchors, world)),
                 ("figure2", "Fig. 2, the weight λ", _figure2(placed, report.paper, world)),
                 ("cmc", "CMC curves", _cmc(placed, report.paper, world)),
                 ("runs", "Every run", _runs(placed, anchors, report))]
        for name, title, content in parts:
            contents.append((f"{world}-{name}", title + suffix))
            warning = tag("p", GENERATED, class_="warn") if generated and name != "runs" else None
            body.append(tag("section", tag("h2", title + suffix, id=f"{world}-{name}"), warning, content))
    return page("Discriminative transfer learning for person re-identification: the paper beside our runs",
                contents, *body)


def _about(report: Report) -> Html:
    """What was run, at which scale, when and on what."""
    results = [result for section in report.sections for group in section.groups for result in group.results]
    given = report.experiment or {}
    scales = sorted({describe_training(group) for section in report.sections for group in section.groups})
    dates = sorted(result.finished for result in results if result.finished)
    versions = [result.versions or {} for result in results]
    titles = sorted(part.get("title", name) for name, part in given.get("experiments", {}).items())
    scale = ": ".join(filter(None, (given.get("scale"), given.get("about"))))
    rows = [("Experiments", _lines(titles)), ("Scale", scale),
            ("Trained at", _lines(scales)), ("The paper's scale", PAPER_SCALE),
            ("Runs", f"{len(results)} finished" + (f", {len(report.unfinished)} not finished"
                                                   if report.unfinished else "")),
            ("Finished", " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "not recorded"),
            ("Machine", _lines(sorted({_machine(result) for result in results}))),
            ("Versions", _lines(sorted({_versions(one) for one in versions})))]
    reading = ("Figures are percentages. n counts runs: one is one split trained with one seed; if it was "
               "trained several times, on other machines say, the last time counts. ± is the standard "
               "deviation over them (n − 1); a single run has none. Each of our figures is a link to the run "
               "that it is of: its settings, its course, and where its data and weights come from.")
    return tag("section", tag("h2", "About these results", id="about"),
               tag("dl", *(part for name, value in rows if value
                           for part in (tag("dt", name), tag("dd", value)))), tag("p", reading))


def _lines(texts: Sequence[str]) -> Html:
    parts = [part for text in texts for part in (tag("br"), text)]
    return join(*parts[1:])


def _machine(result: Result) -> str:
    """The machine of a run, its card if it computed on one, and what was not computed as usual."""
    computing = result.computing or {"card": None, "switches": {}}
    described = result.machine or f"not recorded ({result.device or 'unknown device'})"
    switches = " ".join(f"{name}={value}" for name, value in computing["switches"].items())
    return ", ".join(filter(None, (described, computing["card"], switches)))


def _versions(versions: dict[str, Any]) -> str:
    build = versions.get("caffe_build") or {}
    caffe = build.get("caffe") or versions.get("caffe", "not recorded")
    code = versions.get("code_sha256")
    return ", ".join([f"Caffe {caffe}", *(f"{name} {versions[key]}" for name, key in (
        ("Python", "python"), ("NumPy", "numpy"), ("OpenCV", "opencv")) if key in versions),
        *([f"this project's code sha256 {code[:12]}…"] if code else [])])


def _claims(judged: Sequence[Claim]) -> Html:
    """The claims and their verdicts, and the comparisons that they rest on."""
    how = ("A comparison is of runs that are the same in all but what the claim is about: one difference "
           f"for each split and seed. From {claims.LEAST} differences on it has a 95 % interval (Student's "
           "t, paired). A claim is reproduced where every such interval of every part lies above 0, "
           "contradicted where one lies below 0, and else undecided; one or two runs decide nothing. "
           "Splits of one dataset share people, so the intervals are somewhat too narrow. From "
           f"{claims.WILCOXON} differences on, the p-value of Wilcoxon's signed-rank test stands beside it.")
    rows = [tag("tr", tag("td", claim.claim, class_="text"), tag("td", claim.paper, class_="text"),
                tag("td", tag("span", claim.verdict, class_="verdict"), class_="text"),
                tag("td", _because(claim), class_="text")) for claim in judged]
    head = tag("tr", *(tag("th", name, scope="col", class_="text")
                       for name in ("Claim", "Where", "Verdict", "Because")))
    return join(tag("p", how), scrolled("The paper's claims", tag(
        "table", tag("caption", "Each claim of the paper, in our words, and what our runs say"),
        tag("thead", head), tag("tbody", *rows))))


def _because(claim: Claim) -> Html:
    """A line for each comparison of a claim."""
    lines = []
    for part, found in claim.parts.items():
        if not found:
            lines.append(f"{part}: not run")
        for one in found:
            what = (f"{NAMES.get(one.dataset, one.dataset)}, {one.about}: {_signed(one.mean)} points "
                    f"{claim.measure}")
            if one.low is None:
                what += f", from {len(one.differences)} difference{'s' * (len(one.differences) > 1)}: too few"
            else:
                what += (f" ({_signed(one.low)} to {_signed(one.high)}, n={len(one.differences)}): "
                         f"{one.verdict}")
            if one.wilcoxon is not None:
                what += f"; Wilcoxon p = {one.wilcoxon:.3f}"
            lines.append(f"{part}: {what}")
    return _lines(lines)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _tables(placed: Layout, anchors: Mapping[int, str], world: str) -> Html:
    """Tables I, II and III; the competitors' rows of each folded below it."""
    parts = []
    for table in placed.tables():
        rebuilt = [line for line in table.lines if line.rebuilt]
        others = [line for line in table.lines if not line.rebuilt]
        parts += [tag("h3", table.title, id=f"{world}-{table.name}"),
                  *(tag("p", note) for note in table.notes),
                  _table(table, rebuilt, anchors, "The paper's figures, ours, and the difference, in %")]
        if others:
            parts.append(tag("details", tag("summary", f"The other {len(others)} methods that the paper "
                                                       "prints"),
                             _table(table, others, anchors, "Other methods, as the paper prints them, in %")))
    return join(*parts)


def _table(table: PaperTable, lines: Sequence[Line], anchors: Mapping[int, str], caption: str) -> Html:
    ours = any(line.rebuilt for line in lines)
    groups = [tag("th", head.label, scope="colgroup", colspan=len(head.measures)) for head in table.heads]
    measures = [tag("th", describe_measure(measure), scope="col") for head in table.heads
                for measure in head.measures]
    blank = [tag("th", "Method", scope="col", rowspan=2, class_="text")]
    blank += [tag("th", "Whose", scope="col", rowspan=2, class_="text")] if ours else []
    head = tag("thead", tag("tr", *blank, *groups), tag("tr", *measures))
    bodies = [_method(table.heads, line, anchors) if line.rebuilt else
              tag("tbody", tag("tr", tag("th", line.method, scope="row"),
                               *(tag("td", text) for text in _paper_cells(table.heads, line))))
              for line in lines]
    return scrolled(f"{table.title}: {caption}", tag("table", tag("caption", caption), head, *bodies))


def _method(heads: Sequence[Head], line: Line, anchors: Mapping[int, str]) -> Html:
    """The rows of a method that this project trains: the paper's, ours, the difference."""
    rows = []
    if any(cell.paper for cell in line.cells):
        rows.append(("paper", [tag("td", text) for text in _paper_cells(heads, line)]))
    rows.append(("ours", [part for head, cell in zip(heads, line.cells)
                          for part in _our_cells(head, cell, anchors)]))
    if any(cell.ours and cell.paper for cell in line.cells):
        rows.append(("difference", [tag("td", difference(ours, theirs))
                                    for head, cell in zip(heads, line.cells)
                                    for ours, theirs in zip(cell.ours or [None] * len(head.measures),
                                                            cell.paper or [None] * len(head.measures))]))
    name = tag("th", line.method, scope="rowgroup", rowspan=len(rows))
    return tag("tbody", *(tag("tr", name if place == 0 else None, tag("th", whose, scope="row"), *cells,
                              class_=whose) for place, (whose, cells) in enumerate(rows)), class_="method")


def _paper_cells(heads: Sequence[Head], line: Line) -> list[str]:
    return [show(value) for head, cell in zip(heads, line.cells)
            for value in cell.paper or [None] * len(head.measures)]


def _our_cells(head: Head, cell: Cell, anchors: Mapping[int, str]) -> list[Html]:
    if not cell.ours:
        return [tag("td", cell.why or "not run", colspan=len(head.measures), class_="none")]
    others = f" and {cell.others} more below" if cell.others else ""
    return [tag("td", tag("a", show(value), href=f"#{anchors[id(cell.group)]}"), " ",
                tag("small", f"n={value.n}{others if place == 0 else ''}")) if value else tag("td", "–")
            for place, value in enumerate(cell.ours)]


def _figure2(placed: Layout, paper: dict[str, Any], world: str) -> Html:
    """Rank-1 and mAP on Market-1501 by the weight of the verification loss."""
    chosen = paper.get("figure2", {}).get("chosen")
    head, curves = layout.FIGURE2, placed.curves()
    beside = world != WORLDS[True] and any(map(layout.is_curve, curves))
    parts = [tag("p", "The paper draws this curve without figures and says in words only that λ = 3 was "
                      "chosen."
                      + " Its own points here are those of Table II at that weight." * beside)]
    theirs = [row for row in paper["table2"]["rows"]
              if (row.get("base"), row.get("objective")) == ("resnet50", "vi")]
    for number, points in enumerate(curves, 1):
        name = f"{describe_training(points[0][1])}, from {placed.describe_start(points[0][1])}"
        if not layout.is_curve(points):
            parts.append(tag("p", f"Run with λ = {points[0][0]:g} alone, so there is no curve: {name}."))
            continue
        series, rows = [], []
        for colour, measure in enumerate(head.measures, 1):
            of = [(weight, layout.measured(group, "after", head, measure)) for weight, group in points]
            series.append(Series(f"ours, {measure}", [(weight, value.mean) for weight, value in of], colour,
                                 dots=True))
            rows.append(tag("tr", tag("th", measure, scope="row"),
                            *(tag("td", show(value), " ", tag("small", f"n={value.n}")) for _, value in of)))
        if theirs and chosen and beside:
            series += [Series(f"paper, {measure}", [(chosen, value)], colour, line=False, dots=True)
                       for colour, measure, value in zip((3, 4), head.measures, theirs[0]["single_query"])]
        weights = [tag("th", f"λ = {weight:g}", scope="col") for weight, _ in points]
        drawn = Chart("Rank-1 and mAP on Market-1501 by λ", "λ, weight of the verification loss", "%", series)
        figures = tag("table", tag("caption", "The same in figures"),
                      tag("thead", tag("tr", tag("td", hidden("measure")), *weights)), tag("tbody", *rows))
        parts.append(tag("figure", chart.draw(drawn, f"{world}-lambda-{number}"), tag("figcaption", name),
                         scrolled("Rank-1 and mAP by λ", figures)))
    if not curves:
        parts.append(tag("p", "Not run: nothing with both losses is trained on Market-1501."))
    return join(*parts)


def _cmc(placed: Layout, paper: dict[str, Any], world: str) -> Html:
    """For each dataset the CMC of what was trained, of the weights before it, and the paper's points."""
    figures = []
    for dataset in paper["datasets"]:
        groups = [group for section in placed.sections if section.dataset == dataset
                  for group in section.groups
                  if group.results[0].after]
        if not groups:
            continue
        chosen = sorted(groups, key=layout.extent)[-3:]
        series = [Series(f"ours: {group.name}", _curve(group, "after"), colour, dots=True)
                  for colour, group in enumerate(reversed(chosen), 1)]
        series += [Series("before training", points, 5) for points in [_curve(chosen[-1], "before")]
                   if points]
        if not chosen[-1].results[0].generated:
            series += _paper_points(paper, dataset, chosen[-1].results[0])
        drawn = Chart(f"CMC on {NAMES[dataset]}", "rank", "found up to that rank, %", series, log=True)
        more = f" The three of {len(groups)} that were trained the most." if len(groups) > 3 else ""
        figures.append(tag("figure", tag("h3", NAMES[dataset]), chart.draw(drawn, f"{world}-cmc-{dataset}"),
                           tag("figcaption", "Means over the runs; the ranks are "
                                             f"{', '.join(map(str, RANKS))}.{more}")))
    if not figures:
        return tag("p", "Nothing is trained on the paper's datasets.")
    return tag("div", *figures, class_="charts")


def _curve(group: Group, when: str) -> list[Point]:
    head = layout.Head("", "", "", RANKS)
    found = [(rank, layout.measured(group, when, head, rank)) for rank in RANKS]
    return [(rank, value.mean) for rank, value in found if value]


def _paper_points(paper: dict[str, Any], dataset: str, result: Result) -> list[Series]:
    """The paper's CMC of the same net and losses on a dataset, as points."""
    for table in (paper["table1"], paper["table2"]):
        for row in table["rows"]:
            values = row.get(dataset if dataset in table["columns"] else "single_query")
            if (row.get("base"), row.get("objective")) == (result.base, result.objective) and values:
                if dataset in table["columns"] or table.get("datasets") == [dataset]:
                    measures = table["columns"].get(dataset) or table["columns"]["single_query"]
                    points = [(1 if measure == "rank-1" else measure, value)
                              for measure, value in zip(measures, values) if measure != "mAP"]
                    return [Series(f"paper: {row['method']}", points, 4, line=False, dots=True)]
    return []


def _runs(placed: Layout, anchors: Mapping[int, str], report: Report) -> Html:
    """A part for each way to train: figures of each run, its course, lineage, settings."""
    parts = []
    for section in placed.sections:
        data = "generated people" if section.generated else NAMES.get(section.dataset, section.dataset)
        for group in section.groups:
            anchor = anchors[id(group)]
            parts.append(tag("section", tag("h3", f"{NAMES.get(section.stage, section.stage)}: {group.name}",
                                            id=anchor),
                             tag("p", f"{describe_training(group)}. Data: {data}. Weights at the start: "
                                      f"{placed.describe_start(group)}."),
                             _figures(section, group, report.root, anchor), _course(group, anchor),
                             _lists(section, group, report), _lineage(group), _settings(group, anchor)))
    return join(*parts)


def _figures(section: Section, group: Group, root: Path, anchor: str) -> Html:
    """The figures of each run of a Group, before and after, and what colour histograms and chance give."""
    columns = [(f"r={rank}", ("cmc", str(rank))) for rank in RANKS]
    columns += [("mAP", ("mAP", "trapezoid")), ("mAP, step", ("mAP", "step"))]
    if section.protocol == "market1501":
        columns += [(f"MQ {name}", ("multi_query", "mean", *path)) for name, path in columns
                    if name in ("r=1", "mAP")]
    rows = []
    for result, folder in zip(group.results, group.folders):
        place = folder.relative_to(root) if folder.is_relative_to(root) else folder
        for when in ("after", "before", "histogram", "chance"):
            figures = getattr(result, when)
            if figures:
                name = {"after": "trained", "before": "before training", "histogram": "colour histogram",
                        "chance": "chance"}[when]
                values = [at(figures, path) for _, path in columns]
                rows.append(tag("tr", tag("th", f"{result.split}, seed {result.settings.get('seed')}: {name}",
                                          scope="row"),
                                *(tag("td", "–" if value is None else f"{100 * value:.2f}")
                                  for value in values),
                                tag("td", tag("code", f"{place}/result.json"), class_="text")))
    head = tag("tr", tag("th", "Run", scope="col", class_="text"),
               *(tag("th", name, scope="col") for name, _ in columns),
               tag("th", "File", scope="col", class_="text"))
    kind = ("single query; MQ: multiple query, mean of the features" if section.protocol == "market1501"
            else "single-shot")
    caption = tag("caption", f"Figures of each run in %, {kind}")
    return scrolled(f"Figures of {anchor}", tag("table", caption, tag("thead", head), tag("tbody", *rows)))


def _course(group: Group, anchor: str) -> Html | None:
    """The training curves that were recorded, and the alarms."""
    panels = curves.charts(group)
    if not panels:
        return tag("p", "The course of this training is not beside its result.", class_="quiet") if (
            group.results[0].after) else None
    found = curves.alarms_of(group)
    said = "; ".join(f"{name} at iteration {iteration} of {split}" for iteration, split, name in found)
    note = f"Alarms, dotted in the curves: {said}." if found else "No alarms."
    return tag("figure", tag("h4", "Training"), tag("div", *(
        tag("figure", tag("figcaption", panel.title), chart.draw(panel, f"{anchor}-chart-{number}"))
        for number, panel in enumerate(panels, 1)), class_="charts"), tag("figcaption", note))


def _lists(section: Section, group: Group, report: Report) -> Html | None:
    found = report.lists(section, group) if report.lists else None
    return found and join(tag("h4", "Ranked lists"), found)


def _lineage(group: Group) -> Html:
    """Where the weights and the data of a Group come from, first weights first; of its first run."""
    result = group.results[0]
    steps = []
    for step in result.lineage or []:
        weights = step.get("weights") or {}
        sha = f"weights sha256 {weights['sha256']}" if weights.get("sha256") else "no weights"
        if "stage" in step:
            steps.append(f"{step['stage']} {step['split']}, {step['base']} "
                         f"({OBJECTIVES.get(step['objective'])}), {step['iterations']:,} iterations, seed "
                         f"{step['seed']}, {'generated ' if step.get('generated') else ''}data with "
                         f"manifest sha256 {step.get('manifest_sha256')}, {sha}")
        else:
            steps.append(f"{step.get('name') or 'weights of unknown origin'}: "
                         f"{step.get('origin') or 'no record'}; {sha}")
    if not steps:
        return tag("p", "Lineage: not recorded.", class_="quiet")
    return join(tag("h4", "Where it comes from"), tag("ol", *(tag("li", step) for step in steps)))


def _settings(group: Group, anchor: str) -> Html:
    """All settings of a Group, those that are not the defaults first in words."""
    settings = group.results[0].settings
    usual = {key: getattr(Settings, key) for key in settings if hasattr(Settings, key)}
    rows = [tag("tr", tag("th", key, scope="row"), tag("td", _value(value), class_="text"),
                tag("td", "" if key not in usual or _value(usual[key]) == _value(value) else
                    f"default {_value(usual[key])}", class_="text")) for key, value in settings.items()]
    head = tag("tr", *(tag("th", name, scope="col", class_="text")
                       for name in ("Setting", "Value", "Not the default")))
    return tag("details", tag("summary", f"Settings of {group.name}"),
               scrolled(f"Settings of {anchor}", tag("table", tag("thead", head), tag("tbody", *rows))))


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


