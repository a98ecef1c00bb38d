"""A plan in words, and as plain commands for a shell or for SLURM's sbatch."""

import re
import shlex
from collections.abc import Sequence
from itertools import groupby

from reid.experiments.plan import IMPOSSIBLE, TO_DO, Plan, Task
from reid.formats.manifest import describe_splits

MARGIN = 1.25    # of a cluster's memory over what a task is worked out to take


def describe(plan: Plan) -> list[str]:
    """Every cell, what is there, what is missing and why, and how long the rest takes, as lines."""
    lines, rows = [heading(plan)], []
    for (row, stage, state, why), cells in groupby(
            plan.cells, key=lambda cell: (cell.row.name, cell.stage, cell.state, cell.why)):
        cells = list(cells)
        planned = [cell.task for cell in cells if cell.task in plan.tasks]
        text = state if state != TO_DO else f"to do{_time([plan.tasks[name] for name in planned])}" \
            if planned else "not there, not asked for"
        rows.append((row, f"{stage} split {describe_splits(cell.split for cell in cells)}",
                     f"{text}: {why}" if why else text))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines += [f"{row:{widths[0]}}  {what:{widths[1]}}  {text}" for row, what, text in rows]
    lines += _totals(plan)
    return lines


def heading(plan: Plan) -> str:
    """Which experiment, and at which scale."""
    return f"{plan.experiment.title} at scale {plan.scale.name}: {plan.scale.about}"


def shell(plan: Plan) -> str:
    """The plan as a shell script, one command after the other."""
    lines = ["#!/bin/sh", *_comments(plan),
             "set -e    # start it in the project's folder; what is finished is skipped, the rest is resumed"]
    for task in plan.tasks.values():
        lines += ["", f"# {task.name}", *map(shlex.join, task.commands)]
    return "\n".join([*lines, "", shlex.join(report_command(plan))]) + "\n"


def sbatch(plan: Plan, gpus: int, threads: int) -> str:
    """The plan as a shell script that gives every task to SLURM, with what it depends on."""
    lines = ["#!/bin/sh", *_comments(plan),
             "set -e    # start it in the project's folder, on a disk that all machines see",
             "# SBATCH_ACCOUNT, SBATCH_PARTITION and SBATCH_TIMELIMIT say the cluster's own"]
    for task in plan.tasks.values():
        after = ":".join(f"${_variable(name)}" for name in task.needs)
        options = ["--parsable", "--requeue", f"--job-name={task.name}", f"--cpus-per-task={threads}",
                   f"--mem={megabytes(task)}M", *(["--gres=gpu:1"] if gpus and task.trains else [])]
        depends = f' --dependency="afterok:{after}"' if after else ""
        text = " && ".join(map(shlex.join, task.commands))
        lines.append(f"{_variable(task.name)}=$(sbatch {shlex.join(options)}{depends} --wrap "
                     f"{shlex.quote(text)})")
    every = ":".join(f"${_variable(name)}" for name in plan.tasks)
    depends = f' --dependency="afterany:{every}"' if every else ""
    wrapped = shlex.quote(shlex.join(report_command(plan)))
    return "\n".join([*lines, f"sbatch --job-name=report{depends} --wrap {wrapped}"]) + "\n"


def megabytes(task: Task) -> int:
    """Memory to ask a cluster for; tasks that train nothing are small."""
    return round(500 + MARGIN * (task.memory or 1e9) / 1e6)


def report_command(plan: Plan) -> tuple[str, ...]:
    """The command that puts what is there beside the paper's figures."""
    folder = plan.out
    return (".venv/bin/python", "tools/report.py", "--runs", str(folder), "--out", str(folder / "report"))


def _comments(plan: Plan) -> list[str]:
    lines = [heading(plan), *(f"not in it: {cell.row.name}, {cell.stage} split {cell.split}: {cell.why}"
                              for cell in plan.cells if cell.state == IMPOSSIBLE)]
    return [f"# {' '.join(line.split())}" for line in lines]


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _time(tasks: Sequence[Task]) -> str:
    unknown = any(task.hours is None for task in tasks)
    return ", hours unknown" if unknown else f", {_hours(tasks)}"


def _hours(tasks: Sequence[Task]) -> str:
    hours = sum(task.hours for task in tasks)
    about = "about " if any(task.estimated for task in tasks) else ""
    return about + (f"{hours:.1f} h" if hours >= 0.1 else f"{3600 * hours:.0f} s")


def _totals(plan: Plan) -> list[str]:
    todo = [task for task in plan.tasks.values() if task.trains]
    data = [task for task in plan.tasks.values() if not task.trains]
    if not plan.tasks:
        return ["nothing to do"]
    cells = {cell.task for cell in plan.cells}
    before = [task.name.removeprefix("stage/") for task in todo if task.name not in cells]
    lines = [f"before the runs: {shlex.join(command)}" for task in data for command in task.commands]
    lines += [f"to do: {len(todo)} runs"
              + (f"; runs that others start from: {', '.join(before)}" if before else "")]
    known = [task for task in todo if task.hours is not None]
    if known:
        left = len(todo) - len(known)
        lines.append(f"training: {_hours(known)} of one run after the other"
                     + (f", and {left} runs whose hours are unknown" if left else "")
                     + "; ranking the test identities comes on top")
    lines += [f"hours from: {text}" for text in plan.rates]
    if len(known) < len(todo):
        lines.append("hours are unknown where no finished run below --out or in experiments/measured had "
                     "that backbone on that device or, of data yet to be prepared, that real dataset")
    return lines
