"""Run an experiment of the paper: the stages of its rows, on Snakemake, and the report."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import argparse
import contextlib
import ctypes
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import Any

from data_prep.readers.registry import DATASETS
from reid.common.errors import InputError, Parser, command_line
from reid.common.files import sha256_file, write_whole
from reid.common.lock import in_use
from reid.common.machine import cores, memory
from reid.experiments import show
from reid.experiments.experiment import Scale, load, load_scales
from reid.experiments.plan import FINISHED, TO_DO, Place, Plan, Task, plan
from reid.experiments.rates import Rates
from reid.formats import experiment_record, result as result_file
from reid.formats.manifest import parse_splits
from reid.report import paper as papers
from reid.stages import chain, recipe
from tools.train_stage import CHAINS, EXPERIMENTS, RECIPES, catalogue, real

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = ROOT / "tools" / "snakemake"
NAMES = ("table1", "table2", "table3", "fig2")
SCALES = load_scales(EXPERIMENTS / "scales.yaml")
SOURCES = {name: dataset.of or (name,) for name, dataset in DATASETS.items()}
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36    # prctl(2)
AGAIN = "== started again"    # in a task's log: what is above is of an earlier start


@command_line
def main() -> int:
    arguments = parse_arguments()
    experiment = load(_file(arguments.name), papers.load(EXPERIMENTS / "paper.yaml"))
    scale = SCALES[arguments.scale]
    if arguments.data is None and not scale.generated:
        raise InputError(f"--scale {scale.name} takes real data: give --data, a folder of prepared datasets "
                         "(with --raw they are prepared there)")
    out = real(arguments.out)
    data = real(arguments.data) if arguments.data else out / scale.name / "data"
    threads = arguments.threads or max(1, arguments.cores // max(1, arguments.gpus))
    place = Place(
        data=data, raw=_raw(arguments.raw, scale, data), sources=SOURCES, out=out, gpus=arguments.gpus,
        threads=threads, elsewhere=bool(arguments.profile or arguments.emit),
        chains=chain.load(CHAINS), recipes={name: recipe.load(file) for name, file in RECIPES.items()},
        catalogue=catalogue, rates=Rates([out, EXPERIMENTS / "measured"]))
    splits = None if arguments.splits == "all" else parse_splits(arguments.splits)

    def planned() -> Plan:
        return plan(experiment, scale, place, arguments.rows, splits)
    made = planned()
    if arguments.emit:
        print(show.shell(made) if arguments.emit == "shell" else show.sbatch(made, arguments.gpus, threads),
              end="")
        return 0
    print("\n".join(show.describe(made)), flush=True)
    if arguments.dry_run:
        return 0
    with in_use(made.out):
        if made.tasks:
            carry_out(made, arguments, threads)
            made = planned()
            print("\n".join(show.describe(made)), flush=True)
            for line in left(made):
                print(line, flush=True)
        report(made)
    return 1 if made.tasks else 0


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="tools/run_experiments.sh", description=__doc__)
    parser.add_argument("name", metavar="NAME",
                        help=f"{', '.join(NAMES)}: files of experiments/; or a file of your own")
    parser.add_argument("--data", type=Path,
                        help="folder of prepared datasets, named by stage; at a scale that draws people they "
                             "are drawn where it has none (default: below --out)")
    parser.add_argument("--raw", type=Path, metavar="DIR",
                        help="folder that holds the raw datasets, or links to them: viper, cuhk01, cuhk03, "
                             "market1501; what --data lacks is prepared from them")
    parser.add_argument("--out", type=Path, required=True,
                        help="folder of the runs, of all scales and experiments; the same command resumes")
    parser.add_argument("--scale", choices=SCALES, default="full",
                        help="; ".join(f"{name}: {scale.about}" for name, scale in SCALES.items()))
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="names in the file; default: all")
    parser.add_argument("--splits", default="all", metavar="K,K-K|all", help="as 0,2-4; default: all")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--emit", choices=("shell", "sbatch"),
                        help="write the plan as plain commands to stdout")
    parser.add_argument("--cores", type=int, default=cores(), metavar="N",
                        help="that tasks take together; default: this machine's")
    parser.add_argument("--threads", type=int, metavar="N",
                        help="of one task; default: all the cores, with GPUs a GPU's share; fewer run more "
                             "tasks at a time, as far as there is memory")
    parser.add_argument("--gpus", type=int, default=0, metavar="N",
                        help="so many tasks at a time, a GPU each")
    parser.add_argument("--profile", type=Path, metavar="DIR",
                        help="Snakemake's profile for a cluster, as experiments/profiles/slurm")
    arguments = parser.parse_args()
    if min(arguments.cores, arguments.threads or 1) < 1 or arguments.gpus < 0:
        parser.error("--cores and --threads are at least 1, --gpus at least 0")
    if arguments.profile and not (arguments.profile / "config.yaml").is_file():
        parser.error(f"--profile {arguments.profile}: there is no config.yaml in it")
    return arguments


def _file(name: str) -> Path:
    """The file of an experiment, by its name or a path; InputError where there is none.

    A report knows an experiment by its file's name alone: one called like this project's is refused.
    """
    if name in NAMES:
        return EXPERIMENTS / f"{name}.yaml"
    path = Path(name)
    if path.suffix != ".yaml" or not path.is_file():
        raise InputError(f"{name}: there is no such experiment; give {', '.join(NAMES)}, or a file of your "
                         "own, NAME.yaml")
    if path.stem in NAMES and not path.samefile(EXPERIMENTS / path.name):
        raise InputError(f"{path}: is called as one of this project's is; call it otherwise")
    return path


def _raw(given: Path | None, scale: Scale, data: Path) -> Path | None:
    """--raw without symbolic links; InputError where it is no folder or does not go with the rest."""
    if given is None:
        return None
    if scale.generated:
        raise InputError(f"--raw: scale {scale.name} draws its own people; leave --raw out, or choose "
                         "another --scale")
    if not given.is_dir():
        raise InputError(f"--raw {given}: there is no such folder; give one that holds the raw datasets, or "
                         "links to them, by the names of their stages")
    if data.is_relative_to(real(given)):
        raise InputError(f"--data {data}: lies inside --raw {given}; choose another folder")
    return real(given)


def carry_out(made: Plan, arguments: argparse.Namespace, threads: int) -> None:
    """Let Snakemake run the tasks of a plan; what fails is told by its log and does not stop the others."""
    state = made.out / ".running"
    shutil.rmtree(state, ignore_errors=True)    # an earlier start's, killed; nothing of it is needed
    state.mkdir(parents=True)
    for log in filter(Path.is_file, (_log(made, name) for name in made.tasks)):
        with open(log, "a") as file:
            print(AGAIN, file=file)
    about = {name: {"command": _command(made, task, arguments), "needs": task.needs,
                    "megabytes": show.megabytes(task)} for name, task in made.tasks.items()}
    content = {"threads": threads, "gpus": arguments.gpus, "tasks": about}
    write_whole(state / "plan.json", json.dumps(content))
    kind = "snakemake-slurm" if arguments.profile else "snakemake"
    command = [ROOT / "build" / kind / "bin/python", "-m", "snakemake",
               "--snakefile", SNAKEMAKE / "Snakefile", "--directory", state,
               "--config", f"plan={state / 'plan.json'}", "--keep-going", "--nolock", "--scheduler",
               "greedy", "--quiet", "all"]
    if arguments.profile:
        command += ["--profile", arguments.profile.resolve()]
    else:
        command += ["--cores", arguments.cores, "--resources", f"mem_mb={memory()[1] // 10**6}",
                    f"gpu={arguments.gpus}"]
    status = _supervise(list(map(str, command)), {"XDG_CACHE_HOME": str(state / "cache")})
    if status == 0:
        shutil.rmtree(state, ignore_errors=True)
    elif status < 0:
        print(f"Snakemake was killed by {signal.Signals(-status).name}", flush=True)


def _command(made: Plan, task: Task, arguments: argparse.Namespace) -> str:
    """A task as one line of shell, run in the project's folder, its output kept in a log."""
    log = _log(made, task.name)
    prefix = ""
    if arguments.gpus and not arguments.profile and task.trains:
        prefix = shlex.join([str(SNAKEMAKE / "on_free_gpu.sh"), str(arguments.gpus),
                             str(made.out / ".running/gpus")]) + " "
    text = " && ".join(prefix + shlex.join(command) for command in task.commands)
    # tee -i: a Ctrl-C reaches it too, and the training still has something to say
    return (f"cd {shlex.quote(str(ROOT))} && mkdir -p {shlex.quote(str(log.parent))} && "
            f"{{ {text}; }} 2>&1 | tee -ia {shlex.quote(str(log))}")


def _supervise(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run Snakemake in a group of its own until all of that has ended; its status.

    Ctrl-C and SIGTERM stop all of it as Ctrl-C does, a second one kills it.
    """
    prctl = ctypes.CDLL(None).prctl

    def begin() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_DFL)    # ignored where a shell started all this with &
    prctl(PR_SET_CHILD_SUBREAPER, 1)    # if Snakemake is killed, what it leaves behind is ours
    process = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True,
                               preexec_fn=begin)
    stopped = []

    def stop(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL if stopped else signal.SIGINT)
        stopped.append(number)
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = process.wait()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.killpg(process.pid, signal.SIGINT)    # a training takes a snapshot and ends
            while True:
                os.waitpid(-process.pid, 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        prctl(PR_SET_CHILD_SUBREAPER, 0)
    if stopped:
        raise KeyboardInterrupt
    return status


def left(made: Plan) -> Iterator[str]:
    """A line for each task that is not finished, with the reason."""
    for name, task in made.tasks.items():
        waits = made.tasks.keys() & set(task.needs)
        why = _said(made, name) or ("what it needs is not finished" if waits else "stopped")
        yield f"not finished: {name}: {why}; {_log(made, name)}"


def report(made: Plan) -> None:
    """Write what became of the experiment, and the report where anything in it is new."""
    record = experiment_record.read(made.out) or {"experiments": {}}
    experiments = {**record["experiments"], made.experiment.name: _record(made)}
    record = {"scale": made.scale.name, "about": made.scale.about, "experiments": experiments}
    experiment_record.write(made.out, record)
    if not any(made.out.rglob(result_file.NAME)):
        return
    folder = made.out / "report"
    if experiment_record.read(folder) != record:
        subprocess.run(show.report_command(made), cwd=ROOT, check=True)
        experiment_record.write(folder, record)    # last: it says of which results the report is
    print(f"{show.heading(made)}\nreport: {folder}")


def _record(made: Plan) -> dict[str, Any]:
    """What experiment.json says of an experiment."""
    cells = []
    for cell in made.cells:
        file = cell.folder / result_file.NAME
        state, why = cell.state, cell.why
        if state == TO_DO and cell.task in made.tasks and (said := _said(made, cell.task)):
            why = said
        cells.append({
            "row": cell.row.name, "method": cell.row.method, "base": cell.row.base,
            "objective": cell.row.objective, "chain": cell.row.chain,
            "stage": cell.stage, "split": cell.split,
            "run": str(cell.folder.relative_to(made.out)), "state": state, "why": why,
            "result": sha256_file(file) if state == FINISHED else None})
    return {"title": made.experiment.title, "table": made.experiment.table, "cells": cells}


def _said(made: Plan, name: str) -> str:
    """The last error that a task has said since it was last started, "" where there is none."""
    log = _log(made, name)
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    latest = takewhile(lambda line: line != AGAIN, reversed(lines))
    return next((line for line in latest if line.startswith("error: ")), "")


def _log(made: Plan, name: str) -> Path:
    return made.out / "logs" / f"{name}.log"


if __name__ == "__main__":
    sys.exit(main())
