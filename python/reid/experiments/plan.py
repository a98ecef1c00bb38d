"""From an experiment at a scale to its cells, one run of a row each, and to the tasks that fill them.

A cell is finished where stages.plan says that its run is, so what is planned, resumed and believed is judged
in one place. Cells of several rows, and of several experiments in one folder, that are the same run share it:

OUT/<scale>/<base>-<objective>-<chain>[-recipe][-setting-value]/<stage>/splitKK/

Data are prepared in DATA/<stage>, and for a recipe that says how, in DATA/<key-value>/<stage>: so rows that
need other pairs have their own.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from reid.common.errors import InputError
from reid.engine import snapshots
from reid.engine.device import check_arithmetic
from reid.engine.memory import check_memory, choose_passes, memory_of
from reid.engine.schedule import check_epochs
from reid.engine.settings import AUTO, Settings, as_plain, as_text, defaults, override
from reid.experiments.experiment import Experiment, Row, Scale
from reid.experiments.rates import Rates
from reid.formats import manifest as manifests, result as result_file, snapshot
from reid.formats.experiment_record import State
from reid.formats.manifest import Manifest, split_name, split_number
from reid.nets.prototxt import stage_nets
from reid.stages.chain import Chains, Step
from reid.stages.plan import Request, foresee, plan as plan_stages
from reid.stages.recipe import Recipe, check_made_for, check_prepared
from reid.stages.stage import StageCheck

FINISHED, TO_DO, IMPOSSIBLE = get_args(State)
GPU_HOST = 8e9    # bytes of the machine's memory for a training on a GPU; assumed, not measured
CLASSES = 2000    # of a net whose data are yet to be prepared, for its memory: more than any dataset has
PYTHON = ".venv/bin/python"
DRAWN = "GENERATED.json"    # what data_prep.people marks a raw folder with


@dataclass(frozen=True)
class Task:
    """One call or several of the project's commands, which leaves whole files or resumes.

    name: kind/…, the kind being people, prepare or stage; needs: names of Tasks before it; folder: that it
    fills; memory: bytes that it takes, 0 for little; pairs: that are left to train, None: unknown; hours:
    that they take, None: unknown; estimated: whether pairs are only known from runs on the same dataset.
    """
    name: str
    commands: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...]
    folder: Path
    memory: float = 0
    pairs: int | None = None
    hours: float | None = None
    estimated: bool = False

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
class Unprepared:
    """Splits of a stage that Tasks need and that are to be prepared; row: one of those that need them."""
    row: Row
    stage: str
    splits: set[int]


@dataclass(frozen=True)
class Plan:
    """cells: of every row; tasks: {name: Task}, in an order to run them; rates: where hours are from."""
    experiment: Experiment
    scale: Scale
    out: Path
    cells: list[Cell]
    tasks: dict[str, Task]
    rates: list[str]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an experiment is run, and with what.

    data: prepared datasets, a folder each; raw: raw ones, by the same names, None: there are none; sources:
    {stage that can be prepared: the raw datasets it is made of}; out: of all scales; gpus: how many, 0 for
    the CPU; threads: of one task; elsewhere: other machines compute, so this one's memory and cards do not
    matter. chains, recipes ({name: Recipe}), catalogue: as in stages.plan.Request; rates: measured ones.
    """
    data: Path
    raw: Path | None
    sources: Mapping[str, tuple[str, ...]]
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
    unprepared: dict[Path, Unprepared] = {}
    for row in experiment.rows.values():
        row = replace(row, base=scale.base or row.base)
        for stage, count in experiment.datasets.items():
            numbers = list(range(min(count, scale.splits.get(stage, count))))
            asked = [number for number in numbers
                     if (rows is None or row.name in rows) and (splits is None or number in splits)]
            _plan_stage(made, place, row, stage, numbers, asked, unprepared)
    return replace(made, tasks={**_data_tasks(made, place, unprepared), **made.tasks})


def datasets(place: Place, row: Row) -> Path:
    """The folder of the prepared datasets of a row: --data, or one in it where its recipe says how.

    InputError for a recipe that there is not.
    """
    if row.recipe not in place.recipes:
        raise InputError(f"row {row.name}: recipe {row.recipe!r} is not known; there are "
                         f"{', '.join(place.recipes)}")
    prepared = place.recipes[row.recipe].prepared
    if not prepared or (place.data / manifests.NAME).is_file():    # one prepared dataset, which holds for all
        return place.data
    return place.data / "-".join(f"{key}-{as_text(value)}" for key, value in sorted(prepared.items()))


def way(row: Row) -> str:
    """The folder of the runs of a row: of all that are trained in the same way, whichever row asks."""
    usual = as_plain(defaults(row.base))
    given = as_plain(override(defaults(row.base), row.settings))
    changed = [f"{key}-{as_text(given[key])}" for key in given if given[key] != usual[key]]
    return "-".join([row.base, row.objective, row.chain, *([row.recipe] if row.recipe != "paper" else []),
                     *changed])


def _plan_stage(made: Plan, place: Place, row: Row, stage: str, numbers: Sequence[int],
                asked: Sequence[int], unprepared: dict[Path, Unprepared]) -> None:
    """Add the cells of a row's stage, and the Tasks for the splits that are `asked` for.

    unprepared: what the Tasks need and is to be prepared is added to it, by the folder.
    """
    out = made.out / way(row)

    def add(numbers: Sequence[int], state: str, why: str = "") -> None:
        for number in numbers:
            name = split_name(number)
            task = f"stage/{way(row)}/{stage}/{name}" if state == TO_DO else None
            made.cells.append(Cell(row, stage, number, out / stage / name, state, why, task))
    try:
        steps = place.chains.path_to(place.chains.find(stage, row.chain), stage, row.base)
        path = [step.stage for step in steps]
        data = datasets(place, row)
        check_made_for(place.recipes[row.recipe], row.base, row.objective)
        there = {one: _manifest(data / one) for one in path}
        settings = foresee(_request(made.scale, place, row, path, numbers))
        for one, manifest in there.items():
            if manifest is not None:
                check_epochs(settings[one], manifest.epochs, data / one)
                check_prepared(place.recipes[row.recipe], data / one, manifest)
    except InputError as error:
        add(numbers, IMPOSSIBLE, str(error))
        return
    lacking = _lacking(place, there, numbers)
    groups = [[number for number in numbers if number not in lacking]]
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
        try:
            _check_device(place, settings)
        except InputError as error:
            add(todo, IMPOSSIBLE, str(error))
            continue
        add(todo, TO_DO)
        _tasks(made, place, row, path, checks, [number for number in asked if number in todo])
    for stages in dict.fromkeys(lacking.values()):
        group = [number for number in lacking if lacking[number] == stages]
        try:
            _check_device(place, settings)
            memory = _check_unprepared(made.scale, place, row, steps, settings, stages)
        except InputError as error:
            add(group, IMPOSSIBLE, str(error))
            continue
        add(group, TO_DO)
        if wanted := [number for number in group if number in asked]:
            _blind_tasks(made, place, row, steps, settings, memory, wanted, stages, unprepared)


def _check_device(place: Place, settings: Mapping[str, Settings]) -> None:
    """InputError where what computes here does not multiply as the settings of a stage on the path ask."""
    for of_stage in settings.values():
        check_arithmetic(of_stage.arithmetic, 0 if place.gpus else None, place.elsewhere)


def _request(scale: Scale, place: Place, row: Row, path: Sequence[str], numbers: Sequence[int]) -> Request:
    """The stages.plan.Request for splits of the last stage of a path."""
    return Request(
        stage=path[-1], data=datasets(place, row), out=place.out / scale.name / way(row), base=row.base,
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
            takes = GPU_HOST if place.gpus else memory_of(None).need(run.nets(), run.settings)
            made.tasks[name] = Task(
                name, (_train(made.scale, place, row, path[:path.index(check.job.stage) + 1],
                              split_number(run.name)),),
                (before,) if before else (), run.folder, takes, pairs,
                _hours(made, place, row, settings, pairs))
        before = name


def _hours(made: Plan, place: Place, row: Row, settings: Settings, pairs: int) -> float | None:
    """Hours that pairs take, None where they are unknown."""
    known = place.rates.of(row.base, settings, "gpu" if place.gpus else "cpu")
    return known and pairs / _noted(made, known) / 3600


def _noted(made: Plan, known: tuple[float, str]) -> float:
    """The number of a (number, where it is from), which the plan is to tell."""
    number, source = known
    if source not in made.rates:
        made.rates.append(source)
    return number


def _train(scale: Scale, place: Place, row: Row, path: Sequence[str], number: int) -> tuple[str, ...]:
    """The command that trains split `number` of the last stage of a path."""
    recipe = place.recipes[row.recipe]
    free = [] if place.gpus else ["--threads", str(place.threads)]
    settings = _assignments(scale, row, path)
    return ("tools/train_stage.sh", path[-1], "--data", str(datasets(place, row)),
            "--out", str(place.out / scale.name / way(row)),
            "--base", row.base, "--objective", row.objective, "--recipe", recipe.file.stem,
            "--chain", row.chain, "--split", str(number), "--wait",
            *(("--gpu", "0") if place.gpus else ("--cpu",)), *free,
            *(("--set", *settings) if settings else ()))


# --- data that are yet to be prepared

def _preparing(place: Place, folder: Path) -> str:
    """The name of the Task that prepares a folder."""
    return f"prepare/{folder.relative_to(place.data)}"


def _manifest(folder: Path) -> Manifest | None:
    """The manifest of a prepared folder, of one that was interrupted too; None where there is none."""
    file = folder / manifests.NAME
    return manifests.read_once(file) if file.is_file() else None


def _lacking(place: Place, there: Mapping[str, Manifest | None],
             numbers: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """{split of a path's last stage: the stages on the path whose split is yet to be prepared}.

    there: {stage: its manifest} of the path. Of a stage before the last, split 0 is needed.
    """
    if (place.data / manifests.NAME).is_file():    # one prepared dataset, and no folder of such
        return {}
    last = list(there)[-1]

    def lacks(stage: str, number: int) -> bool:
        name = split_name(number if stage == last else 0)
        return there[stage] is None or name not in there[stage].splits
    found = {number: tuple(stage for stage in there if lacks(stage, number)) for number in numbers}
    return {number: stages for number, stages in found.items() if stages}


def _check_unprepared(scale: Scale, place: Place, row: Row, steps: Sequence[Step],
                      settings: Mapping[str, Settings], lacking: Sequence[str]) -> dict[str, float]:
    """Bytes of memory that each stage of a path takes, {stage: bytes}, whose stages `lacking` are unprepared.

    InputError for what is known to be wrong before they are prepared.
    """
    data = datasets(place, row)
    for stage in lacking:
        if stage not in (place.sources if place.raw else scale.generated):
            how = " ".join(("--split all", *_asked_by(place, row)))
            raise InputError(f"not prepared in {data / stage}; give --raw, a folder with the raw "
                             f"datasets, or python -m data_prep {stage} with {how}")
        for source in place.sources[stage] if place.raw else ():
            if not (place.raw / source).is_dir():
                raise InputError(f"not prepared in {data / stage}, and --raw {place.raw} has no folder "
                                 f"{source}: put {source}'s raw folder there, or a link to it (docs/data.md "
                                 "says what is in it)")
    if name := place.chains.weights(steps[0], row.base):
        place.catalogue(name)
    return {step.stage: GPU_HOST if place.gpus else _memory(
        row.base, step.objective or row.objective, settings[step.stage], place.elsewhere) for step in steps}


@functools.cache    # of many splits and rows; building the nets takes a while
def _memory(base: str, objective: str, settings: Settings, elsewhere: bool) -> float:
    """Bytes that a training takes whose data are yet to be prepared; InputError where they are not free."""
    def nets(settings: Settings) -> dict:
        return stage_nets(base, objective, CLASSES, settings, Path("images"), Path("pairs"))
    memory = memory_of(None)
    if settings.pass_pairs == AUTO:
        settings = (replace(settings, pass_pairs=settings.batch) if elsewhere
                    else choose_passes(settings, nets, memory))
    return memory.need(nets(settings), settings) if elsewhere else check_memory(settings, nets, memory)


def _blind_tasks(made: Plan, place: Place, row: Row, steps: Sequence[Step], settings: Mapping[str, Settings],
                 memory: Mapping[str, float], numbers: Sequence[int], lacking: Sequence[str],
                 unprepared: dict[Path, Unprepared]) -> None:
    """Add the Tasks of splits that wait for stages that are `lacking`, and to `unprepared` what they lack.

    Where there is a result, the command of the next stage sees whether it is whole.
    """
    path, before = [step.stage for step in steps], ()
    for place_on_path, stage in enumerate(path):
        needed, names = numbers if stage == path[-1] else [0], []
        prepared = datasets(place, row) / stage
        data = (_preparing(place, prepared),) if stage in lacking else ()
        if data:
            unprepared.setdefault(prepared, Unprepared(row, stage, set())).splits.update(needed)
        pairs = _foreseen_pairs(made, place, row, stage, settings[stage])
        hours = pairs and _hours(made, place, row, settings[stage], pairs)
        for number in needed:
            folder = made.out / way(row) / stage / split_name(number)
            if stage != path[-1] and (folder / result_file.NAME).is_file():
                continue
            names.append(f"stage/{way(row)}/{stage}/{folder.name}")
            made.tasks.setdefault(names[-1], Task(
                names[-1], (_train(made.scale, place, row, path[:place_on_path + 1], number),),
                (*before, *data), folder, memory[stage], pairs, hours, estimated=True))
        before = tuple(names[:1])


def _foreseen_pairs(made: Plan, place: Place, row: Row, stage: str, settings: Settings) -> int | None:
    """About how many pairs a run trains before its data are prepared, None where that is unknown.

    It is known of real datasets, by finished runs on them.
    """
    manifest = _manifest(datasets(place, row) / stage)
    raw = [place.raw / source for source in place.sources.get(stage, (stage,))] if place.raw else []
    drawn = manifest.generated if manifest else any((folder / DRAWN).exists() for folder in raw)
    readings = manifest.readings if manifest else place.recipes[row.recipe].prepared
    known = place.rates.epoch(stage, readings) if raw and not drawn and settings.epochs else None
    if known is None:
        return None
    pairs = round(settings.epochs * _noted(made, known))
    return min(pairs, settings.max_iter * settings.batch) if settings.max_iter else pairs


def _data_tasks(made: Plan, place: Place, unprepared: Mapping[Path, Unprepared]) -> dict[str, Task]:
    """The Tasks that prepare splits, {folder: Unprepared}, after those that draw the people for them."""
    drawn, tasks = made.out / "raw", {}
    for stage in [one.stage for one in unprepared.values()] if not place.raw else ():
        for source in place.sources.get(stage, (stage,)):
            people, name = made.scale.generated[source], f"people/{source}"
            if not (drawn / source / DRAWN).is_file():
                tasks[name] = Task(
                    name, ((PYTHON, "-m", "data_prep.people", "--layout", people["layout"], "--out",
                            str(drawn / source), "--identities", str(people["identities"]), "--seed",
                            str(people["seed"]), "--wait"),), (), drawn / source)
    for folder, one in unprepared.items():
        sources, raw = place.sources.get(one.stage, (one.stage,)), place.raw or drawn
        dataset = one.stage if place.raw else made.scale.generated[one.stage].get("layout", one.stage)
        name, needs = _preparing(place, folder), tuple(f"people/{source}" for source in sources)
        tasks[name] = Task(
            name, ((PYTHON, "-m", "data_prep", dataset, "--raw",
                    str(raw / one.stage if sources == (one.stage,) else raw), "--out", str(folder),
                    "--split", manifests.describe_splits(one.splits), *_options(made, place, one, folder),
                    "--wait"),),
            tuple(need for need in needs if need in tasks), folder)
    return tasks


def _options(made: Plan, place: Place, one: Unprepared, folder: Path) -> tuple[str, ...]:
    """The options that a folder is prepared with: as it was begun, else as its rows need it."""
    manifest = _manifest(folder)
    if manifest is None:
        epochs = (_epochs(made, place, one.stage, folder.parent) if place.raw
                  else made.scale.generated[one.stage]["epochs"])
        return (*(manifests.option("epochs", epochs) if epochs is not None else ()),
                *_asked_by(place, one.row))
    keys = ("seed", "epochs", "schedule", "flip", "variant", "validation")
    given = {**{key: getattr(manifest, key) for key in keys}, **manifest.readings}
    return tuple(word for key, value in given.items() if value is not None
                 for word in manifests.option(key, value))


def _asked_by(place: Place, row: Row) -> tuple[str, ...]:
    """The options of data_prep that a row's recipe asks for."""
    return tuple(word for key, value in sorted(place.recipes[row.recipe].prepared.items())
                 for word in manifests.option(key, value))


def _epochs(made: Plan, place: Place, stage: str, data: Path) -> int | None:
    """Epochs of pairs that rows train a stage for whose prepared datasets lie in `data`.

    None where one takes all there are.
    """
    epochs = []
    for row in made.experiment.rows.values():
        row = replace(row, base=made.scale.base or row.base)
        for last in made.experiment.datasets:
            with contextlib.suppress(InputError):    # whose cells say so
                steps = place.chains.path_to(place.chains.find(last, row.chain), last, row.base)
                path = [step.stage for step in steps]
                if stage in path and datasets(place, row) == data:
                    epochs.append(foresee(_request(made.scale, place, row, path, [0]))[stage].epochs)
    return None if None in epochs else max(1, math.ceil(max(epochs)))
