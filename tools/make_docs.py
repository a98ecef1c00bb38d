"""Write what documents repeat of the code and of the measured results.

The table of settings, the pictures of the rooms and of the net, the tables of docs/results.md and the README,
and docs/report.html.
"""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
from pathlib import Path
from types import UnionType

from reid.common.errors import InputError, command_line
from reid.engine.settings import ABOUT, AUTO, Settings, allowed, as_text, kinds
from reid.report import layout
from reid.report.document import Report, write
from reid.report.results import settings_of
from reid.report.table import as_markdown, tables
from tools import net_picture, picture, report as report_tool
from tools.generated import ROOT, write_stale

PAGE, PICTURE = ROOT / "docs/training.md", ROOT / "docs/architecture.svg"
MEASURED = ROOT / "experiments/measured"


@command_line
def main() -> int:
    return write_stale(__doc__, files)


def files() -> dict[Path, str]:
    """What is to be committed: {path: text}."""
    measured = report_tool.load(MEASURED)
    return {PAGE: _filled(PAGE, "settings", settings_table()),
            ROOT / "docs/results.md": _filled(ROOT / "docs/results.md", "results", results(measured)),
            ROOT / "README.md": _filled(ROOT / "README.md", "results", best(measured)),
            PICTURE: picture.svg(), ROOT / "docs/net.svg": net_picture.svg(),
            ROOT / "docs/report.html": write(measured)}


def _filled(page: Path, name: str, text: str) -> str:
    """A page with `text` between its two marks of a name; InputError where they are not in it."""
    first, last = f"<!-- {name}: written by tools/make_docs.py -->\n", f"<!-- {name}: end -->\n"
    before, begin, rest = page.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise InputError(f"{page}: the lines {first.strip()} and {last.strip()} are not in it; put them back")
    return before + first + text + last + after


def results(measured: Report) -> str:
    """The paper's tables with ours, the verdicts on its claims, and each stage's own table, in Markdown."""
    verdicts = ["### The paper's claims", "", "| claim | where | verdict |", "| --- | --- | --- |",
                *(f"| {claim.claim} | {claim.paper} | {claim.verdict} |" for claim in measured.claims(False))]
    stages = [as_markdown(table) for section in measured.sections for table in tables(section, measured.paper)
              if "Table III" not in table.title]
    return "\n".join([report_tool.markdown(measured), *verdicts, "", *stages])


def best(measured: Report) -> str:
    """A row for each dataset: the paper's ResNet-50 rows and ours, rank-1 and, where it is given, mAP.

    Below them the size of the images that ours were trained at.
    """
    (_, placed), = measured.worlds()
    found = {table.name: table for table in placed.tables()}
    methods = [line.method for line in found["table1"].lines if "ResNet-50" in line.method
               and line.cells[0].paper]
    lines = [f"| | {' | '.join(f'{method}: paper | ours' for method in methods)} |",
             "| --- |" + " --- | --- |" * len(methods)]
    sizes = {}
    for name in ("table1", "table2"):
        for number, head in enumerate(found[name].heads):
            cells = [next(line for line in found[name].lines if line.method == method).cells[number]
                     for method in methods]
            shown = len(head.measures) if "mAP" in head.measures else 1
            what = "rank-1" + (" / mAP" if shown > 1 else "")
            dataset = layout.NAMES[head.dataset] + (f", {head.label.lower()}" if name == "table2" else "")
            texts = [" / ".join(map(layout.show, part[:shown])) if part else "not run"
                     for cell in cells for part in (cell.paper, cell.ours)]
            lines.append(f"| {dataset}, {what} | {' | '.join(texts)} |")
            for method, cell in zip(methods, cells):
                if cell.group:
                    size = "×".join(map(str, settings_of(cell.group.results[0])["input"]))
                    sizes.setdefault(size, {})[f"{method} on {layout.NAMES[head.dataset]}"] = None
    usual, *others = sorted(sizes, key=lambda size: -len(sizes[size]))
    apart = "".join(f"; {', '.join(sizes[size])} at {size}" for size in others)
    return "\n".join([*lines, "", f"Ours were trained at {usual} pixels{apart}.", ""])


def settings_table() -> str:
    """The settings as a Markdown table, in the order of the dataclass."""
    lines = ["| key | default | allowed | unit | meaning |", "| --- | --- | --- | --- | --- |"]
    for key, kind in kinds().items():
        about, default = ABOUT[key], getattr(Settings, key, "backbone's")
        bounds = "true, false" if kind is bool else ", ".join(about.only) or allowed(about, kind)
        bounds += f", {AUTO if kind == int | str else 'none'}" if isinstance(kind, UnionType) else ""
        lines.append(f"| `{key}` | {as_text(default)} | {bounds} | {about.unit} | {about.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
