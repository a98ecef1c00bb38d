"""Plans and validates every required stage before training: those of a chain up to the one asked for."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reid.common.errors import InputError
from reid.common.lock import clear, in_use
from reid.engine import snapshots
from reid.engine.settings import Settings, defaults, override
from reid.formats import manifest, snapshot
from reid.nets.build import normalises
from reid.provenance.origin import origin_of
from reid.stages import preflight, same
from reid.stages.chain import RANDOM, Chains, Step
from reid.stages.recipe import Recipe, check_prepared
from reid.stages.run import Run
from reid.stages.stage import Job, StageCheck, carry_out, check_stage


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one command asks for.

    stage: the last one; data: a prepared dataset, or a folder of prepared datasets named by stage; splits: of
    the last stage, None for all; recipe: its settings hold for every stage where nothing else sets them;
    assignments: "key=value" for every stage, "stage.key=value" for one; init: weights to start from, in place
    of stages before; chains, chain: the Chains and the name of one, None for the first; catalogue: returns
    the path of the ImageNet weights of a name; check_data: raises InputError where a prepared folder and its
    splits of these names are not what they claim to be; wait: until another process that works in one of the
    runs ends. The rest as in stage.Job.
    """
    stage: str
    data: Path
    out: Path
    base: str
    objective: str
    splits: list[int] | None
    assignments: list[str]
    init: Path | None
    gpu: int | None
    chains: Chains
    chain: str | None
    catalogue: Callable[[str], Path]
    check_data: Callable[[Path, list[str]], None]
    strict: bool
    recipe: Recipe | None = None
    wait: bool = False
    elsewhere: bool = False
    datasets: Collection[str] = ()


def run(request: Request) -> list[Path]:
    """Train what is not finished, the first stages first; returns the folders of the last stage's runs.

    InputError for what cannot work, and where another process works in one of the runs. Several processes may
    train other splits or stages in request.out at the same time.
    """
    while True:
        checks = plan(request)
        todo = next((check for check in checks if check.todo), None)
        if todo is None:
            for run in (run for check in checks for run in check.runs):
                clear(run.folder)
            return [run.folder for run in checks[-1].runs]
        with contextlib.ExitStack() as held:
            for one in todo.todo:
                held.enter_context(in_use(one.folder, request.wait))
            left = [one for one in todo.todo if not one.finished()]    # another process may have been faster
            if left:
                request.check_data(todo.job.data, [one.name for one in left])
                carry_out(replace(todo, todo=left))
        # Its weights are known now, and the next stages are checked again with them.


def plan(request: Request) -> list[StageCheck]:
    """Plans and validates every required stage: the StageChecks of a Request, in order.

    Changes nothing; InputError for what cannot work.
    """
    steps = _steps(request)
    _check_assignments(request, steps)
    for step in steps:
        _data(request, step, steps)
    checks = []
    for step in steps:
        last = step is steps[-1]
        try:
            check = check_stage(_job(request, step, steps, checks), request.splits if last else [0])
            if request.recipe and check.todo:
                check_prepared(request.recipe, check.job.data, check.runs[0].manifest)
            if checks:
                _check_parent(check, checks[-1])
        except InputError as error:
            raise error if last else InputError(
                f"{error} (stage {step.stage}, from which {request.stage} starts; --init FILE starts from "
                "other weights)"
            ) from None
        checks.append(check)
    preflight.space_row(request.out, sum(check.space for check in checks))
    return checks


def foresee(request: Request) -> dict[str, Settings]:
    """{stage: its Settings} of a Request, as far as they are known before its data are prepared.

    InputError for settings that cannot be.
    """
    steps = _steps(request)
    _check_assignments(request, steps)
    return {step.stage: _settings(request, step, _usual(request, step)) for step in steps}


def describe(checks: Sequence[StageCheck]) -> list[str]:
    """The plan as text, a line for each run."""
    lines = []
    for check in checks:
        for run in check.runs:
            job, todo = check.job, run in check.todo
            start = (f"from {job.parent_job.stage}, when it is trained" if job.parent_job else
                     f"from {job.init.name} ({job.origin.describe()})" if job.init else "from random weights")
            if job.parent_job or job.init:
                start += {"kept": ", its verification head kept"}.get(check.head, "")
            mark = ", generated" if run.manifest.generated else ""
            lines.append(f"{job.stage} {run.name}: {_act(run) if todo else 'finished, skip'}; {job.base}, "
                         f"objective {job.objective}; "
                         f"{run.schedule.iterations} iterations of {run.schedule.step} pairs, {start}, "
                         f"data {job.data} ({run.manifest.dataset}{mark})")
    return lines


def _act(run: Run) -> str:
    kept = snapshots.newest(run.folder)
    return f"resume at iteration {snapshot.read(kept).iteration}" if kept else "start"


def _steps(request: Request) -> list[Step]:
    """The Steps from the first weights to the stage that is asked for; for a stage in no chain, itself."""
    if not _in_chain(request):
        return [Step(request.stage, RANDOM, False, None, ())]
    chain = request.chains.find(request.stage, request.chain)
    return request.chains.path_to(chain, request.stage, request.base)


def _in_chain(request: Request) -> bool:
    """Whether the chains' file says what the stage starts from."""
    return not request.init and request.chains.find(request.stage, request.chain) is not None


def _check_assignments(request: Request, steps: Sequence[Step]) -> None:
    """InputError for what cannot be set, and for a setting of a stage that the command does not run."""
    for assignment in request.assignments:
        stage, dot, _ = assignment.partition("=")[0].rpartition(".")
        if dot and stage not in [step.stage for step in steps]:
            raise InputError(f"--set {assignment}: this command has no stage {stage!r}; it has "
                             f"{', '.join(step.stage for step in steps)}")
    for step in steps:
        _settings(request, step, defaults(request.base))


def _settings(request: Request, step: Step, settings: Settings) -> Settings:
    """`settings` with those of the recipe, of the chain's file and of the command, the last ones last.

    Where others than the recipe's epochs are asked for, its last epochs are as many in proportion.
    """
    if request.recipe:
        settings = override(settings, request.recipe.assignments, f"{request.recipe.file}:")
    whole, last = settings.epochs, settings.lr_final_epochs
    asked = _of_stage(request.assignments, step.stage)
    settings = override(settings, step.settings, f"{request.chains.file}, stage {step.stage}:")
    settings = override(settings, asked)
    given = any(one.startswith("lr_final_epochs=") for one in (*step.settings, *asked))
    if whole and last and settings.epochs and not given:
        settings = replace(settings, lr_final_epochs=round(last * settings.epochs / whole, 6))
    return settings


def _data(request: Request, step: Step, steps: Sequence[Step]) -> Path:
    """The folder of a stage's prepared data; where there is none, InputError says what to do."""
    single = (request.data / manifest.NAME).is_file()
    folder = request.data if single else request.data / step.stage
    if step is steps[-1]:
        if not (folder / manifest.NAME).is_file():
            raise InputError(f"{request.data}: holds neither manifest.json nor {step.stage}/manifest.json; "
                             "prepare the data with `python -m data_prep`")
        return folder
    if single or not (folder / manifest.NAME).is_file():
        stood = request.chains.stands_for.get(request.base) == ("stage", step.stage)
        stands = ", which stands for ImageNet," if stood else ""
        have = "is one prepared dataset" if single else f"has no {step.stage}/manifest.json"
        raise InputError(f"stage {step.stage}{stands} comes before {request.stage}, and --data "
                         f"{request.data} {have}: give a folder of prepared datasets with {step.stage} among "
                         f"them, or {_without(request, step.stage)}--init FILE")
    return folder


def _without(request: Request, missing: str) -> str:
    """The chains that reach the stage without the missing one, for a message: "--chain NAME, or "."""
    def on_the_way(name: str) -> list[str]:
        return [step.stage for step in request.chains.path_to(name, request.stage, request.base)]
    names = [name for name, steps in request.chains.chains.items()
             if request.stage in steps and missing not in on_the_way(name)]
    return f"--chain {' or '.join(names)}, or " if names else ""


def _job(request: Request, step: Step, steps: Sequence[Step], checks: Sequence[StageCheck]) -> Job:
    """The Job of a Step; checks: the StageChecks of the steps before."""
    init, parent_job = request.init, None
    if checks:
        init, parent_job = _from(checks[-1], step)
    elif name := request.chains.weights(step, request.base):
        init = request.catalogue(name)
    init = init and init.resolve()
    origin = origin_of(init) if init else None
    mean = parent_job.settings.mean if parent_job else origin and origin.mean
    usual = _usual(request, step)
    settings = _settings(request, step, replace(usual, mean=mean) if mean else usual)
    objective = step.objective or request.objective
    before = checks[-1].job.objective if checks else ""
    return Job(step.stage, _data(request, step, steps), request.out, request.base, objective, settings, init,
               request.gpu, parent_job, step.keep_head and "v" in objective and "v" in before, request.strict,
               request.elsewhere, request.datasets)


def _usual(request: Request, step: Step) -> Settings:
    """The backbone's defaults for a Step, where nothing else sets them and no weights name a mean."""
    usual = defaults(request.base)
    if step.parent == RANDOM and normalises(request.base) and _in_chain(request):
        usual = replace(usual, batch_norm="batch")    # there are no statistics to be stored yet
    return usual


def _of_stage(assignments: Iterable[str], stage: str) -> list[str]:
    """The assignments that hold for a stage, those for it alone last."""
    every = [one for one in assignments if "." not in one.partition("=")[0]]
    return every + [one.removeprefix(f"{stage}.") for one in assignments if one.startswith(f"{stage}.")]


def _from(before: StageCheck, step: Step) -> tuple[Path | None, Job | None]:
    """(weights, None) of the stage before, or (None, its Job) where it is not finished."""
    run, = before.runs
    if not run.schedule.iterations:
        raise InputError(f"stage {before.job.stage} is not trained (epochs 0), and {step.stage} starts from "
                         f"it; set {step.stage}.epochs=0 for this stage alone, or start it with --init FILE")
    return (None, before.job) if before.todo else (run.folder / run.result().weights["file"], None)


def _check_parent(check: StageCheck, before: StageCheck) -> None:
    """InputError where a run was started from the weights of a stage that is now to be trained further."""
    result = before.runs[0].result() if before.todo else None
    for run in check.runs if result and result.weights else ():
        if same.started_from(run.folder) == result.weights["sha256"]:
            raise InputError(f"{run.folder}: was started from {before.job.stage} at iteration "
                             f"{result.iterations}, which is to be trained to "
                             f"{before.runs[0].schedule.iterations}; leave it as it is (--set "
                             f"{before.job.stage}.max_iter={result.iterations}), or choose another --out")
