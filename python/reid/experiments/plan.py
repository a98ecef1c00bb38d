"""From an experiment at a scale to its cells, one run of a row each, and to the tasks that fill them.

A cell is finished where stages.plan says that its run is, so what is planned, resumed and believed is judged
in one place. Cells of several rows, and of several experiments in one folder, that are the same run share it:

OUT/<scale>/<base>-<objective>-<chain>[-recipe][-setting-value]/<stage>/splitKK/
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reid.common.errors import InputError
from reid.engine import snapshots
from reid.engine.memory import memory_of
from reid.engine.settings import as_plain, as_text, defaults, override
from reid.experiments.experiment import Experiment, Row, Scale
from reid.experiments.rates import Rates
from reid.formats import manifest as manifests, result as result_file, snapshot
from reid.formats.manifest import split_name, split_number
from reid.stages.chain import Chains
from reid.stages.plan import Request, plan as plan_stages
from reid.stages.recipe import Recipe
from reid.stages.stage import StageCheck

FINISHED, TO_DO, IMPOSSIBLE = "finished", "to do", "cannot be run"
GPU_HOST = 8e9    # bytes of the machine's memory for a training on a GPU; assumed, not measured
PYTHON = ".venv/bin/python"


@dataclass(frozen=True)
class Task:
    """One call or several of the project's commands, which leaves whole files or resumes.

    name: kind/…, the kind being people, prepare or stage; needs: names of Tasks before it; folder: that it
    fills; memory: bytes that it takes, 0 for little; pairs: that are left to train, None: unknown; hours:
    that they take, None: unknown.
    """
    name: str
    commands: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...]
    folder: Path
    memory: float = 0
    pairs: int | None = None
    hours: float | None = None

    @property
    def trains(self) -> bool:
        """Whether it computes a net, and so takes a GPU where there are some."""
        return self.name.startswith("stage/")


@dataclass(frozen=True)
class Cell:
    """One split of one row: its run, and what stands in its way.

    state: FINISHED, TO_DO or IMPOSSIBLE, why: the reason for the last; task: the name of the Task that fills
    it.
    """
    row: Row
    stage: str
    split: int
    folder: Path
    state: str
    why: str = ""
    task: str | None = None


@dataclass(frozen=True)
class Plan:
    """cells: of every row; tasks: {name: Task}, in an order to run them; rates: where the hours are from."""
    experiment: Experiment
    scale: Scale
    out: Path
    cells: list[Cell]
    tasks: dict[str, Task]
    rates: list[str]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an experiment is run, and with what.

    data: prepared datasets, a folder each; out: of all scales; gpus: how many, 0 for the CPU; threads: of one
    task; elsewhere: other machines compute, so this one's memory and cards do not matter. chains, recipes
    ({name: Recipe}), catalogue: as in stages.plan.Request; rates: measured ones.
    """
    data: Path
    out: Path
    gpus: int
    threads: int
    elsewhere: bool
    chains: Chains
    recipes: dict[str, Recipe]
    catalogue: Callable[[str], Path]
    rates: Rates


def plan(experiment: Experiment, scale: Scale, place: Place, rows: list[str] | None = None,
         splits: list[int] | None = None) -> Plan:
    """The Plan of an experiment; of the rows and splits that are asked for (None: all) also the Tasks.

    Changes nothing. What cannot be run has its reason in its cell; InputError for a row that there is not.
    """
    for name in rows or ():
        if name not in experiment.rows:
            raise InputError(f"--rows {name}: {experiment.file} has the rows {', '.join(experiment.rows)}")
    made = Plan(experiment, scale, place.out / scale.name, [], {}, [])
    for row in experiment.rows.values():
        row = replace(row, base=scale.base or row.base)
        for stage, count in experiment.datasets.items():
            numbers = list(range(min(count, scale.splits.get(stage, count))))
            asked = [number for number in numbers
                     if (rows is None or row.name in rows) and (splits is None or number in splits)]
            _plan_stage(made, place, row, stage, numbers, asked)
    return made


def way(row: Row) -> str:
    """The folder of the runs of a row: of all that are trained in the same way, whichever row asks."""
    usual = as_plain(defaults(row.base))
    given = as_plain(override(defaults(row.base), row.settings))
    changed = [f"{key}-{as_text(given[key])}" for key in given if given[key] != usual[key]]
    return "-".join([row.base, row.objective, row.chain, *([row.recipe] if row.recipe != "paper" else []),
                     *changed])


def _plan_stage(made: Plan, place: Place, row: Row, stage: str, numbers: Sequence[int],
                asked: Sequence[int]) -> None:
    """Add the cells of a row's stage, and the Tasks for the splits that are `asked` for."""
    out = made.out / way(row)

    def add(numbers: Sequence[int], state: str, why: str = "") -> None:
        for number in numbers:
            name = split_name(number)
            task = f"stage/{way(row)}/{stage}/{name}" if state == TO_DO else None
            made.cells.append(Cell(row, stage, number, out / stage / name, state, why, task))
    try:
        path = [step.stage for step in place.chains.path_to(
            place.chains.find(stage, row.chain), stage, row.base)]
    except InputError as error:
        add(numbers, IMPOSSIBLE, str(error))
        return
    drawn = [number for number in numbers if _to_generate(made.scale, place.data, path, [number])]
    if wanted := [number for number in drawn if number in asked]:
        _generate(made, place, path, _to_generate(made.scale, place.data, path, drawn), drawn)
        _blind_tasks(made, place, row, path, wanted)
    add(drawn, TO_DO)
    there = _prepared(place.data / stage)
    missing = [number for number in numbers if number not in drawn
               and there is not None and number not in there]
    groups = [[number for number in numbers if number not in {*drawn, *missing}]]
    for group in filter(None, groups):
        try:
            checks = plan_stages(_request(made.scale, place, row, path, group))
        except InputError as error:
            if len(group) > 1:
                groups += [[number] for number in group]    # what is wrong with one is not with the others
            else:
                add(group, IMPOSSIBLE, str(error))
            continue
        todo = [split_number(run.name) for run in checks[-1].todo]
        add([number for number in group if number not in todo], FINISHED)
        add(todo, TO_DO)
        _tasks(made, place, row, path, checks, [number for number in asked if number in todo])
    add(missing, IMPOSSIBLE, f"not prepared in {place.data / stage}; give python -m data_prep --split all")


def _request(scale: Scale, place: Place, row: Row, path: Sequence[str], numbers: Sequence[int]) -> Request:
    """The stages.plan.Request for splits of the last stage of a path."""
    return Request(
        stage=path[-1], data=place.data, out=place.out / scale.name / way(row), base=row.base,
        objective=row.objective, splits=numbers, assignments=_assignments(scale, row, path), init=None,
        gpu=None, chains=place.chains, chain=row.chain, catalogue=place.catalogue,
        check_data=lambda folder, splits: None, strict=False, recipe=place.recipes[row.recipe],
        elsewhere=place.elsewhere or place.gpus > 0)


def _assignments(scale: Scale, row: Row, path: Sequence[str]) -> list[str]:
    """The settings of a command: the scale's, the row's, and the scale's of the stages on the path."""
    of_stages = [f"{stage}.{one}" for stage in path for one in scale.stages.get(stage, ())]
    return [*scale.settings, *row.settings, *of_stages]


def _tasks(made: Plan, place: Place, row: Row, path: Sequence[str], checks: Sequence[StageCheck],
           asked: Sequence[int]) -> None:
    """Add the Tasks of the splits `asked`, which are to do, and of what they start from."""
    before = None
    for check in checks if asked else ():
        last, name = check is checks[-1], None
        for run in check.todo:
            if last and split_number(run.name) not in asked:
                continue
            name = f"stage/{way(row)}/{check.job.stage}/{run.name}"
            settings = check.job.settings
            kept = snapshots.newest(run.folder)
            done = snapshot.read(kept).iteration if kept else 0
            pairs = (run.schedule.iterations - done) * run.schedule.step
            rate = place.rates.of(row.base, settings, "gpu" if place.gpus else "cpu")
            if rate and rate[1] not in made.rates:
                made.rates.append(rate[1])
            takes = GPU_HOST if place.gpus else memory_of(None).need(run.nets(), run.settings)
            made.tasks[name] = Task(
                name, (_train(made.scale, place, row, path[:path.index(check.job.stage) + 1],
                              split_number(run.name)),),
                (before,) if before else (), run.folder, takes, pairs, rate and pairs / rate[0] / 3600)
        before = name


def _train(scale: Scale, place: Place, row: Row, path: Sequence[str], number: int) -> tuple[str, ...]:
    """The command that trains split `number` of the last stage of a path."""
    recipe = place.recipes[row.recipe]
    free = [] if place.gpus else ["--threads", str(place.threads)]
    settings = _assignments(scale, row, path)
    return ("tools/train_stage.sh", path[-1], "--data", str(place.data),
            "--out", str(place.out / scale.name / way(row)),
            "--base", row.base, "--objective", row.objective, "--recipe", recipe.file.stem,
            "--chain", row.chain, "--split", str(number), "--wait",
            *(("--gpu", "0") if place.gpus else ("--cpu",)), *free,
            *(("--set", *settings) if settings else ()))


# --- people that are drawn where there are no data

def _prepared(folder: Path) -> set[int] | None:
    """The numbers of the prepared splits; None where there is no manifest."""
    if not (folder / manifests.NAME).is_file():
        return None
    with contextlib.suppress(InputError):    # interrupted, or damaged, which stages.plan says
        return set(map(split_number, manifests.load_manifest(folder).splits))
    return set()


def _splits_of(path: Sequence[str], numbers: Sequence[int]) -> dict[str, Sequence[int]]:
    """The splits that are needed of each stage of a path: of those before the last, split 0."""
    return {stage: numbers if stage == path[-1] else [0] for stage in path}


def _to_generate(scale: Scale, data: Path, path: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """The stages on a path that have to be drawn and prepared; none where the scale does not draw people."""
    if not scale.generated:
        return []
    wanted = _splits_of(path, numbers)
    return [stage for stage in path if stage in scale.generated
            and not set(wanted[stage]) <= (_prepared(data / stage) or set())]


def _generate(made: Plan, place: Place, path: Sequence[str], missing: Iterable[str],
              numbers: Sequence[int]) -> None:
    """Add the Tasks that draw and prepare the missing stages."""
    raw = made.out / "raw"
    for stage in missing:
        how, name = made.scale.generated[stage], f"prepare/{stage}"
        sources = how.get("of", [stage])
        for source in sources:
            people = made.scale.generated[source]
            if not (raw / source / "GENERATED.json").is_file():
                made.tasks.setdefault(f"people/{source}", Task(
                    f"people/{source}",
                    ((PYTHON, "-m", "data_prep.people", "--layout", people["layout"], "--out",
                      str(raw / source), "--identities", str(people["identities"]), "--seed",
                      str(people["seed"])),), (), raw / source))
        link = (("mkdir", "-p", str(raw / stage)),
                *(("ln", "-sfn", f"../{source}", str(raw / stage / source)) for source in sources))
        dataset = how.get("layout", stage)
        wanted = sorted({*_splits_of(path, numbers)[stage]})
        commands = tuple((PYTHON, "-m", "data_prep", dataset, "--raw", str(raw / stage), "--out",
                          str(place.data / stage), "--split", str(number), "--epochs", str(how["epochs"]))
                         for number in wanted)
        known = made.tasks.get(name)
        commands = (known.commands if known else link if "of" in how else ()) + commands
        made.tasks[name] = Task(name, tuple(dict.fromkeys(commands)),
                                tuple(f"people/{source}" for source in sources
                                      if f"people/{source}" in made.tasks), place.data / stage)


def _blind_tasks(made: Plan, place: Place, row: Row, path: Sequence[str], asked: Sequence[int]) -> None:
    """Add the Tasks of stages whose data are yet to be drawn.

    Where there is a result, the command of the next stage sees whether it is whole.
    """
    before = ()
    for place_on_path, stage in enumerate(path):
        drawn = (f"prepare/{stage}",) if f"prepare/{stage}" in made.tasks else ()
        names = []
        for number in asked if stage == path[-1] else [0]:
            folder = made.out / way(row) / stage / split_name(number)
            if stage != path[-1] and (folder / result_file.NAME).is_file():
                continue
            names.append(f"stage/{way(row)}/{stage}/{folder.name}")
            made.tasks.setdefault(names[-1], Task(
                names[-1], (_train(made.scale, place, row, path[:place_on_path + 1], number),),
                (*before, *drawn), folder))
        before = tuple(names[:1])
