"""One stage of the staged training (paper, section II-D): splits of one dataset, trained and ranked."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Optional

import caffe

from reid.common.lock import in_use
from reid.common.machine import threads
from reid.engine.device import (
    FLOAT32,
    build,
    check_arithmetic,
    check_gpu,
    multiplying,
    use_device,
    use_threads,
)
from reid.engine.memory import check_memory, memory_of
from reid.engine.settings import Settings, of_run
from reid.features.extract import extract_kept, view_settings
from reid.formats.caffemodel import read_caffemodel
from reid.formats.manifest import load_manifest, split_name
from reid.nets import fit
from reid.nets.build import normalises
from reid.nets.fit import Shapes
from reid.provenance import lineage
from reid.provenance.origin import Origin, origin_of
from reid.stages import preflight, same
from reid.stages.preflight import Row
from reid.stages.run import Run


@dataclass(frozen=True)
class Job:
    """What is asked for: a stage on prepared data, into a folder.

    init: .caffemodel to load the backbone from, or None to start from random weights; gpu: its number, None:
    the CPU. parent_job: the Job to be trained before this one, whose weights replace `init`.
    keep_head: keep the verification head that is in the weights; strict: surprises of the pre-flight are
    errors; elsewhere: another machine is to compute it, so this one's memory and cards do not matter;
    datasets: names that a stage may have only with data of that dataset.
    """
    stage: str
    data: Path
    out: Path
    base: str
    objective: str
    settings: Settings
    init: Path | None
    gpu: int | None
    parent_job: Optional["Job"] = None
    keep_head: bool = False
    strict: bool = False
    elsewhere: bool = False
    datasets: Collection[str] = ()

    @property
    def blank(self) -> bool:
        """Whether BatchNorm has no statistics at the start, so that no feature can be computed yet."""
        return not self.init and not self.parent_job and normalises(self.base)

    @property
    def threads(self) -> int:
        """Threads that compute."""
        return self.settings.threads or threads()

    @cached_property
    def origin(self) -> Origin | None:
        """Where the weights in `init` come from; InputError where the file is not what was recorded of it.

        Looked up once: at the end of a training the file may be gone.
        """
        return origin_of(self.init) if self.init else None


@dataclass(frozen=True)
class StageCheck:
    """A stage that was checked: its Runs, which of them are still to do, and the pre-flight's Rows for each.

    head: what becomes of the verification head: "kept", "fresh", "absent" (it was to be kept, but the weights
    have none), None (the net has none). space: bytes that the snapshots will take.
    """
    job: Job
    runs: list[Run]
    todo: list[Run]
    head: str | None
    rows: dict[str, list[Row]]
    space: int


def check_stage(job: Job, splits: Sequence[int] | None) -> StageCheck:
    """The StageCheck of a stage, for the splits numbered `splits` (None: all that are prepared).

    Changes nothing. InputError for everything that cannot work.
    """
    if job.gpu is not None and not job.elsewhere:
        check_gpu(job.gpu, build())
    check_arithmetic(job.settings.arithmetic, job.gpu, job.elsewhere)
    preflight.check_paths(job.data, job.out)
    manifest = load_manifest(job.data)
    preflight.check_stage_name(job.stage, manifest, job.datasets)
    preflight.check_base(job.origin, job.base)
    names = sorted(manifest.splits) if splits is None else [split_name(number) for number in splits]
    runs = [Run(job, manifest, name) for name in names]
    todo = [run for run in runs if not run.finished()]
    wanted = fit.parameters(runs[0].nets()["deploy"])
    training = [run for run in todo if run.schedule.iterations]
    snapshots = len(training) * job.settings.keep_snapshots + 2
    space = snapshots * preflight.snapshot_bytes(wanted) if training else 0
    head, weights = _weights(job, runs[0], wanted, bool(todo))
    for run in runs:
        same.check_head(run.folder, head)
    common = [*weights, _mean(job), *_resources(job, training, space)] if todo else []
    check = StageCheck(job, runs, todo, head, {run.name: [*_data(run), *common] for run in todo}, space)
    if job.strict:
        for run in todo:
            preflight.refuse_surprises(f"stage {job.stage} {run.name}", check.rows[run.name])
    return check


@multiplying(FLOAT32)    # in everything but a run's solver, whatever the environment says
def carry_out(check: StageCheck) -> list[Path]:
    """Train and evaluate the runs of a StageCheck that are to do; returns the folders of all its runs.

    Finished runs stay as they are; interrupted ones are resumed.
    """
    job, todo = check.job, check.todo
    if todo:
        use_device(job.gpu)
        use_threads(job.threads)
        for run in todo:
            run.write_nets()
        start = starting_net(job, todo[0])
        for run in todo:
            run.begin(check.head)
            run.log("pre-flight")
            for line in preflight.table(check.rows[run.name]):
                run.log(f"  {line}")
        features_before(todo, start)
        for run in todo:
            run.train(start)
    return [run.folder for run in check.runs]


def starting_net(job: Job, run: Run) -> caffe.Net:
    """The deploy net of a run with the weights to start from, which were checked before."""
    caffe.set_random_seed(job.settings.seed)
    net = caffe.Net(str(run.folder / "deploy.prototxt"), caffe.TEST)
    if job.init:
        fit.load(net, read_caffemodel(job.init))
    return net


def features_before(runs: Sequence[Run], start: caffe.Net) -> None:
    """Keep the features that the weights at the start give: each image once, in however many splits."""
    runs = [run for run in runs if not run.job.blank and not run.has_before()]
    if runs:
        job, images = runs[0].job, sorted({row for run in runs for rows in run.evaluator.rows.values()
                                           for row in rows})
        runs[0].log(f"features of {len(images)} images from the weights at the start")
        key = job.out / ".features" / _key(job, runs[0])
        with in_use(key, wait=True):    # other splits may want them at the same time
            features = extract_kept(key.with_suffix(".rows"), start, job.settings.feature,
                                    runs[0].images, images, job.settings, runs[0].log)
        place = {row: number for number, row in enumerate(images)}
        for run in runs:
            run.keep("before", {side: features[[place[row] for row in rows]]
                                for side, rows in run.evaluator.rows.items()})


def _key(job: Job, run: Run) -> str:
    """A name for the features of the weights at the start.

    The same for the same net, weights, images and view of them.
    """
    weights = job.origin.sha256 if job.origin else f"seed {job.settings.seed}"
    what = [job.base, job.settings.feature, weights, run.manifest.image_lmdb.sha256,
            *view_settings(job.settings)]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


def _weights(job: Job, run: Run, wanted: Shapes, needed: bool) -> tuple[str | None, list[Row]]:
    """What becomes of the verification head, and Rows of what the weights hold; those only if `needed`."""
    head = ("kept" if job.keep_head else "fresh") if "v" in job.objective else None
    fresh = ["id_fc"] * ("i" in job.objective) + [preflight.VERIFICATION] * (head == "fresh")
    if not needed:
        return head, []
    if job.parent_job:
        return head, [Row("weights", f"the last snapshot of {job.parent_job.stage}, which is trained first"),
                      Row("starts fresh", ", ".join(fresh) or "nothing"), *_head_rows(job, head)]
    if not job.init:
        preflight.check_start(job)
        drawn = [name for name, shapes in wanted.items() if shapes]
        return head, [Row("weights", f"random, seed {job.settings.seed}"),
                      Row("starts fresh", f"{preflight.grouped(drawn)}, {', '.join(fresh)}")]
    layers = read_caffemodel(job.init)
    fit.check(job.init, layers, wanted, f"{job.base} at this input size")
    rows = [_origin_row(job.origin)]
    if head == "kept":
        if preflight.VERIFICATION in layers:
            shapes = fit.parameters(run.nets()["train"])[preflight.VERIFICATION]
            head_layer = {preflight.VERIFICATION: layers.pop(preflight.VERIFICATION)}
            fit.check(job.init, head_layer, {preflight.VERIFICATION: shapes}, job.base)
        else:
            head = "absent"
            fresh.append(preflight.VERIFICATION)
    rows += preflight.weights_rows(wanted, layers, job.base)
    return head, [*rows, Row("starts fresh", ", ".join(fresh) or "nothing"), *_head_rows(job, head)]


def _origin_row(origin: Origin) -> Row:
    known = bool(origin.run and lineage.known(lineage.of_result(origin.result)) or origin.record)
    doubt = ", whose own first weights are of unknown origin" if origin.run and not known else ""
    text = origin.describe() + doubt
    return Row("weights", f"{origin.file.name}, sha256 {origin.sha256[:12]}…: {text}", not known)


def _head_rows(job: Job, head: str | None) -> list[Row]:
    """What becomes of the verification head of the stage before."""
    if head == "absent":
        return [Row("verif_fc", f"to be kept, but {job.init} holds none: it starts fresh", True)]
    if head != "kept":
        return []
    stage, before = ((job.parent_job.stage, job.parent_job.settings.verif_scale) if job.parent_job else
                     (job.origin.result.stage,
                      of_run(job.base, job.origin.result.settings)["verif_scale"]))
    if before != job.settings.verif_scale:
        return [Row("verif_fc", f"kept from {stage}, which trained it at verif_scale {before:g}, and here it "
                                f"is {job.settings.verif_scale:g}", True)]
    return [Row("verif_fc", f"kept from {stage}")]


def _mean(job: Job) -> Row:
    """Whether the mean is that of the weights."""
    if job.parent_job:
        return preflight.mean_row(job.settings.mean, job.parent_job.settings.mean, job.parent_job.stage)
    return preflight.mean_row(job.settings.mean, job.origin and job.origin.mean,
                              job.origin and job.origin.describe())


def _data(run: Run) -> list[Row]:
    """Rows of a run's data."""
    manifest, labels = run.manifest, run.labels[run.labels >= 0]
    mark = ", generated data" if manifest.generated else ""
    rows = [Row("data", f"{manifest.dataset} {run.name}{mark} in {run.job.data}: images, training and "
                        "held-out pairs have the manifest's sha256"),
            Row("labels", f"{labels.min()} … {labels.max()}, head of {run.entry.classes} classes"),
            Row("iterations", f"{run.schedule.iterations} of {run.schedule.step} pairs{_cut(run.settings)}")]
    if run.settings.batch_norm == "batch" and run.settings.passes > 1 and normalises(run.job.base):
        rows.append(Row("statistics", f"of the {run.settings.in_pass} pairs of a pass, not of the "
                                      f"{run.settings.batch} that an update sees", surprise=True))
    if run.evaluator.alone:
        rows.append(Row("multi_query",
                        f"{run.evaluator.alone} queries have no images to be pooled from but themselves",
                        surprise=True))
    return rows


def _cut(settings: Settings) -> str:
    """Into what an update is cut, as a phrase; "" where it is one pass."""
    return f", in {settings.passes} passes of {settings.in_pass}" if settings.passes > 1 else ""


def _resources(job: Job, training: Sequence[Run], space: int) -> list[Row]:
    """Rows of disk and memory, where there is anything to train."""
    if not training or job.elsewhere:
        return []
    rows = [preflight.space_row(job.out, space)]
    memory = memory_of(job.gpu)
    needed = max(check_memory(run.settings, run.nets, memory)
                 for run in {run.settings: run for run in training}.values())
    return [*rows, Row("memory", f"about {needed / 1e9:.1f} GB, {memory.free / 1e9:.1f} GB free")]
