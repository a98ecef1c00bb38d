"""One stage of the staged training (paper, section II-D): splits of one dataset, trained, ranked and recorded."""

from dataclasses import dataclass
from pathlib import Path

import caffe

from data_prep.errors import InputError
from data_prep.prepare import load_manifest
from reid.features.extract import extract
from reid.nets.bases import BASES
from reid.training import preflight
from reid.training.record import build
from reid.training.run import SIDES, Run
from reid.training.settings import Settings


@dataclass(frozen=True)
class Job:
    """What is asked for: a stage on prepared data, into a folder.

    init: .caffemodel to take the trunk from, or None to start from random weights; gpu: its number, or None.
    """
    stage: str
    data: Path
    out: Path
    base: str
    objective: str
    settings: Settings
    init: Path | None
    gpu: int | None


def run_stage(job, splits):
    """Train and evaluate the splits numbered `splits` (None: all that are prepared); returns the folders of their runs.

    Everything is checked before anything is trained. What is finished stays as it is, what is half done goes on.
    """
    manifest = load_manifest(job.data)
    preflight.check_stage(job.stage, manifest)
    names = sorted(manifest["splits"]) if splits is None else [f"split{number:02d}" for number in splits]
    runs = [Run(job, manifest, name) for name in names]
    todo = [run for run in runs if not run.finished()]
    if todo:
        use_device(job.gpu)
        for run in todo:
            run.write_nets()
        start = starting_trunk(job, todo)
        for run in todo:
            run.begin()
        features_before(todo, start)
        for run in todo:
            run.train(start)
    return [run.folder for run in runs]


def use_device(gpu):
    """Let Caffe compute on a GPU by its number, or on the CPU (None); InputError where this Caffe has no GPU."""
    if gpu is None:
        caffe.set_mode_cpu()
    elif not build().get("gpu"):
        raise InputError(f"--gpu {gpu}: the Caffe in .venv was built for the CPU alone; use --cpu")
    else:
        caffe.set_device(gpu)
        caffe.set_mode_gpu()


def starting_trunk(job, runs):
    """The deploy net with the weights to start from, after the checks that need to know its blobs."""
    caffe.set_random_seed(job.settings.seed)
    net = caffe.Net(str(runs[0].folder / "deploy.prototxt"), caffe.TEST)
    preflight.check_weights(job.init, net, job.base)
    if any(run.schedule.iterations for run in runs):
        preflight.check_space(job.out, net, job.settings, len(runs))
        if job.gpu is None:
            preflight.check_memory(net, job.settings)
    if job.init:
        net.copy_from(str(job.init))
    return net


def features_before(runs, start):
    """Keep the features that the weights at the start give: each image is computed once, in however many splits."""
    runs = [run for run in runs if not run.has_before()]
    if runs:
        job, images = runs[0].job, sorted({row for run in runs for side in SIDES for row in run.entry[side]})
        runs[0].log(f"features of {len(images)} images from the weights at the start")
        features = extract(start, BASES[job.base].feature, runs[0].images, images, job.settings)
        place = {row: number for number, row in enumerate(images)}
        for run in runs:
            run.keep("before", {side: features[[place[row] for row in run.entry[side]]] for side in SIDES})
