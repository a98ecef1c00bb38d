"""All benchmarks that docs/performance.md shows, each beside its peer and its limit.

    .venv/bin/python benchmarks/run.py --torch-python /tmp/torch/bin/python

An entry's figures are kept in OUT/NAME.json as soon as they are there, and are not measured again: a run that
was interrupted resumes. The table is written from all files in OUT. Where other processes use the machine
before or after an entry no ratio is given; --loaded measures all the same and marks what it writes.
"""

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from reid.common.errors import InputError, command_line
from reid.common.machine import describe

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = {"data_prep": "preparing data", "feed": "feeding pairs", "train": "a training step",
           "evaluate": "evaluation", "growth": "how cost grows"}
BUSY = .15    # cores in use by others, from which on a machine is not idle
WATCHED = 2.0    # seconds for which it is watched
MIB = 2 ** 20


@command_line
def main() -> int:
    options = parse_options()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.entry or ENTRIES:
        file = options.out / f"{name}.json"
        if file.exists() and not options.again:
            print(f"{name}: in {file}")
            continue
        before = busy()
        if before > BUSY and not options.loaded:
            raise InputError(f"{name}: others use {before:.1f} cores of this machine; measure when it is "
                             "idle, or give --loaded, which marks the figures")
        started = time.monotonic()
        rows = measured(name, options)
        after = busy()
        entry = {"entry": name, "machine": describe(), "date": f"{datetime.date.today()}",
                 "seconds": round(time.monotonic() - started), "busy_before": before, "busy_after": after,
                 "idle": max(before, after) <= BUSY, "rows": rows}
        file.write_text(json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
        print(table(entry))
    if options.markdown:
        files = [file for name in ENTRIES if (file := options.out / f"{name}.json").exists()]
        options.markdown.write_text(page([json.loads(file.read_text()) for file in files]))
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entry", nargs="+", choices=ENTRIES, help="only these (default: all)")
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


def measured(name: str, options: argparse.Namespace) -> list[dict]:
    """The rows of an entry, from a process of its own, whose highest memory counts for it alone."""
    command = [sys.executable, str(ROOT / "benchmarks/entries.py"), name, "--batch", str(options.batch)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT / "python"), str(ROOT)]),
                       GLOG_minloglevel="2")
    if options.torch_python:
        command += ["--torch-python", str(options.torch_python)]
    command += ["--plots", str(options.out)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    if ended.returncode:
        raise InputError(f"{name}: ended with status {ended.returncode}; what it said is above")
    rows = json.loads(ended.stdout.splitlines()[-1])
    print(f"{name}: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB at the highest")
    return rows


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
        unit = row["unit"]
        beside = "–" if row["peer"] is None else f"{figure(row['peer'])} {unit} ({row['peer_is']})"
        limit = "–" if row["limit"] is None else f"{figure(row['limit'])} {unit} ({row['limit_is']})"
        lines.append(f"| {row['what']} | {figure(row['ours'])} {unit} | {beside} | "
                     f"{ratio(row, row['peer'], entry)} | {limit} | "
                     f"{ratio(row, row['limit'], entry)} | "
                     f"{'–' if row['memory'] is None else format(row['memory'] / MIB, '.0f') + ' MiB'} |")
    return "\n".join(lines)


def figure(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def page(entries: list[dict]) -> str:
    """docs/performance.md."""
    lines = ["# Performance", "",
             "Written by `benchmarks/run.py --markdown`. A ratio above 1 says that this project is better.",
             "What is measured, and how each limit is worked out:",
             "[benchmarks/entries.py](../benchmarks/entries.py)."]
    for entry in entries:
        state = "nothing else running" if entry["idle"] else (
            f"**not idle: others used {max(entry['busy_before'], entry['busy_after']):.1f} cores**")
        lines += ["", f"## {ENTRIES[entry['entry']].capitalize()}", "",
                  f"{entry['machine']}, {entry['date']}, {state}, {entry['seconds']} s.", "", table(entry)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
