"""One split of one stage: a folder, and the steps that fill it.

OUT/<stage>/split00/
    settings.yaml                  settings and inputs: a run is resumed, and counts as finished, only for
                                   the same ones
    train, test, deploy, solver    .prototxt of this split
    log.txt  losses.csv  test.csv  evaluation.csv
    snapshots/000500/              weights, solver state, checksums
    start.json                     where the weights at the start come from, and whether a verification head
                                   was kept
    features/before, after/        query.npz and gallery.npz, from the weights at the start and at the end
    result.json                    the figures and where they come from; written last
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import caffe
import numpy as np
import yaml
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from reid.common.errors import InputError
from reid.common.files import write_whole
from reid.engine import snapshots
from reid.engine.device import multiplying
from reid.engine.loop import train
from reid.engine.memory import choose_passes, memory_of
from reid.engine.schedule import schedule
from reid.engine.settings import AUTO, Settings
from reid.features.extract import extract, extract_kept
from reid.formats import result as result_file, snapshot
from reid.formats.caffemodel import read_caffemodel, values
from reid.formats.feature_file import read_features, write_features
from reid.formats.image_lmdb import ImageStore
from reid.formats.manifest import Manifest, split_checksum
from reid.formats.pair_lmdb import PairStore
from reid.formats.result import Result
from reid.nets.prototxt import stage_nets, stage_solver
from reid.provenance import finished, lineage
from reid.provenance.versions import versions
from reid.stages import preflight, same
from reid.stages.evaluator import GALLERY, QUERY, Evaluator
from reid.stages.finish import write_result

if TYPE_CHECKING:    # which imports this file
    from reid.stages.stage import Job


class Run:
    """One split of a Job, in its folder.

    Raises InputError where the split is not prepared, does not fit the settings, or its folder holds another
    run.
    """

    def __init__(self, job: "Job", manifest: Manifest, name: str) -> None:
        preflight.check_split(job.data, name, manifest)
        self.job, self.manifest, self.name = job, manifest, name
        self.entry = manifest.splits[name]
        self.folder = job.out / job.stage / name
        self.images = ImageStore(job.data / "images")
        training, held_out = (PairStore(job.data / name / role) for role in ("train", "test"))
        preflight.check_classes(training, self.entry)
        preflight.check_classes(held_out, self.entry)
        self.labels = training.labels
        self.settings = self._settled()
        self.schedule = schedule(self.settings, training, held_out)
        self.evaluator = Evaluator(manifest, name)
        self.asked = same.asked_for(job, self.settings, manifest, name)
        self.versions = versions()
        same.check_same(self.folder, self.asked, job.parent_job is None)

    def result(self) -> Result | None:
        """The Result of the run, None where it is not finished; InputError where it is damaged."""
        return finished.read(self.folder) if (self.folder / result_file.NAME).is_file() else None

    def finished(self) -> bool:
        """Whether there is a result of as many iterations as are asked for.

        InputError where the data have changed since.
        """
        result = self.result()
        if result and result.split_sha256 not in (None, split_checksum(self.manifest, self.name)):
            raise InputError(f"{self.folder}: {self.job.data / 'manifest.json'} has changed since this run "
                             "was finished; bring the data back, or choose another --out")
        return result is not None and result.iterations >= self.schedule.iterations

    def nets(self, settings: Settings | None = None) -> dict[str, caffe_pb2.NetParameter]:
        """The nets of the run, or of the same with other Settings: {"train", "test", "deploy": NetParameter}.
        """
        job = self.job
        return stage_nets(job.base, job.objective, self.entry.classes, settings or self.settings,
                          job.data / "images", job.data / self.name)

    def write_nets(self) -> None:
        """Write the prototxt files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        solver = stage_solver(self.folder, self.settings, self.schedule, snapshots.prefix(self.folder),
                              gpu=self.job.gpu is not None)
        for name, message in {**self.nets(), "solver": solver}.items():
            write_whole(self.folder / f"{name}.prototxt", text_format.MessageToString(message))

    def begin(self, head: str | None) -> None:
        """Write the settings: from here on the folder can only be used with them.

        head: what becomes of the verification head, as in stage.StageCheck.
        """
        same.write_start(self.folder, head, lineage.parent(self.job.origin, self.folder, self.job.out))
        write_whole(self.folder / same.SETTINGS, yaml.safe_dump(self.asked, sort_keys=False))

    def train(self, start: caffe.Net) -> None:
        """Train from the weights in the deploy net `start`, rank the test identities, write the result."""
        done, seconds, weights, after = 0, 0.0, None, None
        if self.schedule.iterations:
            solver = self._solver(start)
            deploy = caffe.Net(str(self.folder / "deploy.prototxt"), caffe.TEST)
            deploy.share_with(solver.net)
            try:
                kept, seconds = train(
                    solver, self.folder, self.settings, self.schedule,
                    lambda: self.evaluator.figures(self.features(deploy, (QUERY, GALLERY)))["cmc"], self.log,
                    same.trained_with(self.asked, self.start()["verification_head"]))
            finally:
                for net in (solver.net, *solver.test_nets):
                    net.layers[0].close()
            last = snapshot.read(kept)
            done = last.iteration
            weights = {"file": str((kept / snapshot.WEIGHTS).relative_to(self.folder)),
                       "sha256": last.sha256[snapshot.WEIGHTS]}
            self.keep_after(deploy, weights["sha256"])
            after = self.evaluator.figures(self.kept("after"))
        write_result(self, done, seconds, weights, after)

    def features(self, deploy: caffe.Net, sides: Iterable[str]) -> dict[str, np.ndarray]:
        """Features of the split's test images from a deploy net: {"query": (N, D), "gallery": (M, D), …}."""
        feature = self.settings.feature
        return {side: extract(deploy, feature, self.images, self.evaluator.rows[side], self.job.settings)
                for side in sides}

    def keep_after(self, deploy: caffe.Net, weights: str) -> None:
        """Compute and write the features of the trained net, whose weights have the sha256 `weights`.

        They are computed into a file from which a killed run resumes.
        """
        feature, rows = self.settings.feature, self.evaluator.rows
        file = self.folder / "features" / f"after-{weights[:16]}.rows"
        everything = [row for side in rows for row in rows[side]]
        features = extract_kept(file, deploy, feature, self.images, everything, self.job.settings, self.log)
        ends = np.cumsum([len(rows[side]) for side in rows])
        self.keep("after", dict(zip(rows, np.split(features, ends[:-1]))))
        file.unlink()

    def keep(self, when: str, features: Mapping[str, np.ndarray]) -> None:
        """Write the features of `when` ("before" or "after"), given as {side: (N, D)}, as feature files."""
        (self.folder / "features" / when).mkdir(parents=True, exist_ok=True)
        for side in self.evaluator.rows:
            about = self.evaluator.about(side)
            write_features(self._file(when, side), features[side], about["ids"], about["cams"],
                           about["names"])

    def kept(self, when: str) -> dict[str, np.ndarray]:
        """The features that were written for `when`, {side: (N, D)}."""
        return {side: read_features(self._file(when, side))["features"] for side in self.evaluator.rows}

    def start(self) -> dict[str, Any]:
        """{"verification_head", "parent"}: what `begin` wrote about the weights at the start."""
        return same.read_start(self.folder)

    def has_before(self) -> bool:
        """Whether the features of the weights at the start are written, for the images in the manifest."""
        files = {side: self._file("before", side) for side in self.evaluator.rows}
        return all(file.is_file() and
                   np.array_equal(read_features(file).get("names"), self.evaluator.about(side)["names"])
                   for side, file in files.items())

    def log(self, line: str) -> None:
        """Print a line and append it to log.txt."""
        print(f"{self.job.stage} {self.name}: {line}", flush=True)
        with open(self.folder / "log.txt", "a", encoding="utf-8") as file:
            print(line, file=file)

    def _settled(self) -> Settings:
        """The job's settings with pass_pairs chosen: as the folder was started with, else by the free memory.
        """
        settings = self.job.settings
        if settings.pass_pairs != AUTO:
            return settings
        started = same.started_passes(self.folder, settings.batch)
        if started or settings.epochs == 0 or self.job.elsewhere:    # 0: nothing is trained
            return replace(settings, pass_pairs=started or settings.batch)
        return choose_passes(settings, self.nets, memory_of(self.job.gpu))

    def _solver(self, start: caffe.Net) -> caffe.SGDSolver:
        """The solver of this run: its backbone from `start`, its heads fresh or kept."""
        with multiplying(self.settings.arithmetic):
            solver = caffe.SGDSolver(str(self.folder / "solver.prototxt"))
        for name, blobs in start.params.items():
            for target, source in zip(solver.net.params[name], blobs):
                target.data[...] = source.data
        if self.start()["verification_head"] == "kept":
            kept = read_caffemodel(self.job.init)[preflight.VERIFICATION]
            for target, source in zip(solver.net.params[preflight.VERIFICATION], kept):
                target.data[...] = values(source).reshape(target.data.shape)
        return solver

    def _file(self, when: str, side: str) -> Path:
        return self.folder / "features" / when / f"{side}.npz"
