"""All benchmarks that docs/performance.md shows, each beside its peer and its limit.

    .venv/bin/python benchmarks/run.py --markdown docs/performance.md --torch-python /tmp/torch/bin/python

An entry's figures are kept in OUT/NAME.json as soon as they are there, and are not measured again: a run that
was interrupted resumes. The page, and the pictures of growth beside it, are drawn from all files in OUT.
`setup` takes minutes and is measured only with `--entry setup`. Where other processes use the machine before
or after an entry no ratio is given; --loaded measures all the same and marks what it writes.
"""

import argparse
import datetime
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from benchmarks.alone import ROOT, run_alone
from reid.common.errors import InputError, Parser, command_line
from reid.common.files import write_whole
from reid.common.machine import describe

ENTRIES = {"data_prep": "preparing data", "feed": "feeding pairs", "train": "a training step",
           "layers": "where a training step goes", "extract": "extracting features",
           "evaluate": "evaluation", "report": "the report", "growth": "how cost grows",
           "setup": "set-up from nothing"}
ASKED = ("setup",)    # measured only when it is named
BUSY = .15    # cores in use by others, from which on a machine is not idle
WATCHED = 2.0    # seconds for which it is watched
MIB = 2 ** 20


@command_line
def main() -> int:
    options = parse_options()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.entry or [name for name in ENTRIES if name not in ASKED]:
        file = options.out / f"{name}.json"
        if file.exists() and not options.again:
            print(f"{name}: in {file}")
            continue
        before = busy()
        if before > BUSY and not options.loaded:
            raise InputError(f"{name}: others use {before:.1f} cores of this machine; measure when it is "
                             "idle, or give --loaded, which marks the figures")
        started = time.monotonic()
        found = measured(name, options)
        seconds, after = round(time.monotonic() - started), busy()
        entry = {"entry": name, "machine": describe(), "date": f"{datetime.date.today()}",
                 "seconds": seconds, "busy_before": before, "busy_after": after,
                 "idle": max(before, after) <= BUSY, **found}
        write_whole(file, json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
        print("\n".join([measured_on(entry), table(entry)]), flush=True)
    if options.markdown:
        files = {name: options.out / f"{name}.json" for name in ENTRIES}
        entries = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
        for curve in entries.get("growth", {}).get("curves", []):
            write_whole(options.markdown.parent / picture(curve), plot(curve))
        write_whole(options.markdown, page(entries))
    return 0


def parse_options() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--entry", nargs="+", choices=ENTRIES, help="only these (default: all but setup)")
    parser.add_argument("--out", type=Path, default=ROOT / "build/benchmarks", metavar="DIR",
                        help="where figures are kept (default: build/benchmarks)")
    parser.add_argument("--again", action="store_true", help="measure what is there already")
    parser.add_argument("--loaded", action="store_true",
                        help="measure on a busy machine; no ratios are given")
    parser.add_argument("--torch-python", type=Path, metavar="FILE",
                        help="a Python with PyTorch, NumPy, OpenCV, lmdb and protobuf, for the peers")
    parser.add_argument("--batch", type=int, default=4, help="pairs of a training step (default: 4)")
    parser.add_argument("--markdown", type=Path, metavar="FILE",
                        help="write the page, as docs/performance.md")
    return parser.parse_args()


def busy() -> float:
    """Cores that anybody uses while this process sleeps."""
    def used() -> int:
        words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        user, nice, system, _, _, irq, softirq, steal = map(int, words[:8])
        return user + nice + system + irq + softirq + steal
    before = used()
    time.sleep(WATCHED)
    return (used() - before) / os.sysconf("SC_CLK_TCK") / WATCHED


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What an entry found, from a process of its own, whose highest memory counts for it alone."""
    torch = ["--torch-python", options.torch_python] if options.torch_python else []
    return run_alone(ROOT / "benchmarks/entries.py", name, "--batch", options.batch, *torch,
                     GLOG_minloglevel="2")


def ratio(row: dict, other: float | None, entry: dict) -> str:
    """How many times better a row is than another figure; of times nothing where the machine was not idle."""
    if other is None:
        return "–"
    if not entry["idle"] and row["unit"] != "MiB":
        return "not idle"
    return f"{row['ours'] / other if row['higher_is_better'] else other / row['ours']:.2f} ×"


def table(entry: dict) -> str:
    """The rows of an entry in Markdown."""
    lines = ["| | here | beside it | ratio | limit | of the limit | memory |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for row in entry["rows"]:
        memory = "–" if row["memory"] is None else f"{row['memory'] / MIB:.0f} MiB"
        cells = (row["what"], f"{figure(row['ours'])} {row['unit']}", other(row, "peer"),
                 ratio(row, row["peer"], entry), other(row, "limit"), ratio(row, row["limit"], entry), memory)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def other(row: dict, side: str) -> str:
    """The peer or the limit of a row, with what it is; or why there is none."""
    what = row[f"{side}_is"]
    return f"{figure(row[side])} {row['unit']} ({what})" if row[side] is not None else what or "–"


def figure(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def measured_on(entry: dict) -> str:
    """Where and when an entry was measured, and whether anything else was running."""
    state = "" if entry["idle"] else "**not idle**: "
    return (f"{entry['machine']}, {entry['date']}; {state}others used {entry['busy_before']:.2f} cores "
            f"before and {entry['busy_after']:.2f} after. {entry['seconds']} s in all, "
            f"{entry['peak'] / MIB:,.0f} MiB at most in one process, the peers' among them.")


def page(entries: dict[str, dict]) -> str:
    """docs/performance.md, from entries by their names; what is missing is said to be so."""
    lines = ["# Performance", "",
             "Written, with its pictures, by one command on an idle machine:", "",
             "```",
             ".venv/bin/python benchmarks/run.py --markdown docs/performance.md "
             "--torch-python /tmp/torch/bin/python",
             "```", "",
             "A ratio above 1 says that this project is better; of the limit, 1 is all that can be reached.",
             "[benchmarks](../benchmarks/README.md) says how the peers are set up. No ratio is given",
             "where others used the machine. On a GPU: [gpu.md](gpu.md#on-an-h100)."]
    for name, title in ENTRIES.items():
        lines += ["", f"## {title.capitalize()}", ""]
        if name not in entries:
            lines.append(f"Not measured: `.venv/bin/python benchmarks/run.py --entry {name}`")
            continue
        entry = entries[name]
        lines += [entry["about"], "", measured_on(entry), "", table(entry)]
        lines += ["", entry["text"]] if "text" in entry else []
        for curve in entry.get("curves", []):
            lines += ["", f"![Seconds by {curve['name']}, with slope {curve['slope']:.2f}]({picture(curve)})"]
    return "\n".join(lines) + "\n"


def picture(curve: dict) -> str:
    """The name of the file that shows a curve."""
    return f"growth-{curve['name'].replace(' ', '-')}.svg"


def plot(curve: dict) -> str:
    """A curve of growth as SVG, with the line that its slope is taken from."""
    matplotlib.use("svg")
    from matplotlib import pyplot
    sizes, seconds, slope = np.array(curve["sizes"], float), np.array(curve["seconds"]), curve["slope"]
    with pyplot.rc_context({"svg.hashsalt": "growth", "svg.fonttype": "none", "font.size": 9}):
        drawn, axes = pyplot.subplots(figsize=(4, 3), layout="constrained")
        axes.loglog(sizes, seconds, "o", label="measured")
        line = sizes ** slope
        line *= np.exp(np.log(seconds / line).mean())    # the fitted one goes through the points' middle
        axes.loglog(sizes, line, "-", color="tab:gray", label=f"slope {slope:.2f}")
        axes.set(xlabel=", ".join(dict.fromkeys((curve["name"], curve["unit"]))), ylabel="time, seconds")
        axes.legend()
        file = io.StringIO()
        drawn.savefig(file, format="svg", metadata={"Date": None})
        pyplot.close(drawn)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


if __name__ == "__main__":
    sys.exit(main())
