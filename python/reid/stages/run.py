"""One split of one stage: a folder, and the steps that fill it.

OUT/<stage>/split00/
    settings.yaml                  what was asked for: a run only goes on, and only counts as done, for the
                                   same
    train, test, deploy, solver    .prototxt of this split
    log.txt  losses.csv  test.csv  evaluation.csv
    snapshots/000500/              weights, solver state, checksums
    start.json                     where the weights at the start come from, and whether a verification head
                                   was kept
    features/before, after/        query.npz and gallery.npz, from the weights at the start and at the end
    result.json                    the figures and where they come from; written last
"""

from dataclasses import replace

import caffe
import numpy as np
import yaml
from google.protobuf import text_format

from reid.common.errors import InputError
from reid.common.files import write_whole
from reid.engine import snapshots
from reid.engine.loop import train
from reid.engine.memory import choose_passes, memory_of
from reid.engine.schedule import schedule
from reid.engine.settings import AUTO
from reid.features.extract import extract, extract_kept
from reid.formats import result as result_file, snapshot
from reid.formats.caffemodel import read_caffemodel, values
from reid.formats.feature_file import read_features, write_features
from reid.formats.image_lmdb import ImageStore
from reid.formats.manifest import split_checksum
from reid.formats.pair_lmdb import PairStore
from reid.nets.prototxt import stage_nets, stage_solver
from reid.provenance import lineage
from reid.provenance.versions import versions
from reid.stages import preflight, same
from reid.stages.evaluator import GALLERY, QUERY, Evaluator
from reid.stages.finish import write_result


class Run:
    """One split of a Job, in its folder.

    Raises InputError where the split is not prepared, does not fit the settings, or its folder holds another
    run.
    """

    def __init__(self, job, manifest, name):
        preflight.check_split(job.data, name, manifest)
        self.job, self.manifest, self.name = job, manifest, name
        self.entry = manifest.splits[name]
        self.folder = job.out / job.stage / name
        self.images = ImageStore(job.data / "images")
        training, held_out = (PairStore(job.data / name / role) for role in ("train", "test"))
        preflight.check_classes(training, self.entry)
        preflight.check_classes(held_out, self.entry)
        self.labels = training.labels
        self.settings = self._settled(schedule(job.settings, training, held_out).iterations)
        self.schedule = schedule(self.settings, training, held_out)
        self.evaluator = Evaluator(manifest, name)
        self.asked = same.asked_for(job, self.settings, manifest, name)
        self.versions = versions()
        same.check_same(self.folder, self.asked, job.parent_job is None)

    def result(self):
        """The Result that is there, or None; InputError where it is damaged."""
        return result_file.read(self.folder) if (self.folder / result_file.NAME).is_file() else None

    def finished(self):
        """Whether the result is there, of as many iterations as are asked for.

        InputError where it was made of other data than lie there now.
        """
        result = self.result()
        if result and result.split_sha256 not in (None, split_checksum(self.manifest, self.name)):
            raise InputError(f"{self.folder}: {self.job.data / 'manifest.json'} has changed since this run "
                             "was finished; bring the data back, or choose another --out")
        return result is not None and result.iterations >= self.schedule.iterations

    def nets(self, settings=None):
        """The nets of the run, or of the same with other Settings: {"train", "test", "deploy": NetParameter}.
        """
        job = self.job
        return stage_nets(job.base, job.objective, self.entry.classes, settings or self.settings,
                          job.data / "images", job.data / self.name)

    def write_nets(self):
        """Write the prototxt files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        solver = stage_solver(self.folder, self.settings, self.schedule, snapshots.prefix(self.folder),
                              gpu=self.job.gpu is not None)
        for name, message in {**self.nets(), "solver": solver}.items():
            write_whole(self.folder / f"{name}.prototxt", text_format.MessageToString(message))

    def begin(self, head):
        """Write the settings: from here on the folder is for these alone.

        head: what becomes of the verification head, as in stage.StageCheck.
        """
        same.write_start(self.folder, head, lineage.parent(self.job.origin, self.folder, self.job.out))
        write_whole(self.folder / same.SETTINGS, yaml.safe_dump(self.asked, sort_keys=False))

    def train(self, start):
        """Train from the trunk `start` (caffe.Net), rank the test identities before and after, record it."""
        done, seconds, weights, after = 0, 0.0, None, None
        if self.schedule.iterations:
            solver = self._solver(start)
            trunk = caffe.Net(str(self.folder / "deploy.prototxt"), caffe.TEST)
            trunk.share_with(solver.net)
            try:
                kept, seconds = train(
                    solver, self.folder, self.settings, self.schedule,
                    lambda: self.evaluator.figures(self.features(trunk, (QUERY, GALLERY)))["cmc"], self.log,
                    same.trained_with(self.asked, self.start()["verification_head"]))
            finally:
                for net in (solver.net, *solver.test_nets):
                    net.layers[0].close()
            last = snapshot.read(kept)
            done = last.iteration
            weights = {"file": str((kept / snapshot.WEIGHTS).relative_to(self.folder)),
                       "sha256": last.sha256[snapshot.WEIGHTS]}
            self.keep_after(trunk, weights["sha256"])
            after = self.evaluator.figures(self.kept("after"))
        write_result(self, done, seconds, weights, after)

    def features(self, trunk, sides):
        """Features of the split's test images from a deploy net: {"query": (N, D), "gallery": (M, D), …}."""
        feature = self.settings.feature
        return {side: extract(trunk, feature, self.images, self.evaluator.rows[side], self.job.settings)
                for side in sides}

    def keep_after(self, trunk, weights):
        """Compute and keep the features of the trained trunk, whose weights have this sha256.

        A kill loses little of it.
        """
        feature, rows = self.settings.feature, self.evaluator.rows
        file = self.folder / "features" / f"after-{weights[:16]}.rows"
        everything = [row for side in rows for row in rows[side]]
        features = extract_kept(file, trunk, feature, self.images, everything, self.job.settings, self.log)
        ends = np.cumsum([len(rows[side]) for side in rows])
        self.keep("after", dict(zip(rows, np.split(features, ends[:-1]))))
        file.unlink()

    def keep(self, when, features):
        """Write the features of `when` ("before" or "after"), given as {side: (N, D)}, as feature files."""
        (self.folder / "features" / when).mkdir(parents=True, exist_ok=True)
        for side in self.evaluator.rows:
            about = self.evaluator.about(side)
            write_features(self._file(when, side), features[side], about["ids"], about["cams"],
                           about["names"])

    def kept(self, when):
        """The features that were written for `when`, {side: (N, D)}."""
        return {side: read_features(self._file(when, side))["features"] for side in self.evaluator.rows}

    def start(self):
        """{"verification_head", "parent"}: what `begin` wrote of the weights at the start."""
        return same.read_start(self.folder)

    def has_before(self):
        """Whether the features of the weights at the start are there, of the images in the manifest."""
        files = {side: self._file("before", side) for side in self.evaluator.rows}
        return all(file.is_file() and
                   np.array_equal(read_features(file).get("names"), self.evaluator.about(side)["names"])
                   for side, file in files.items())

    def log(self, line):
        """Print a line and keep it."""
        print(f"{self.job.stage} {self.name}: {line}", flush=True)
        with open(self.folder / "log.txt", "a") as file:
            print(line, file=file)

    def _settled(self, iterations):
        """The job's settings, pass_pairs chosen: as the folder was begun, else by the memory there is.

        iterations: that are to be trained.
        """
        settings = self.job.settings
        if settings.pass_pairs != AUTO:
            return settings
        begun = same.begun_passes(self.folder, settings.batch)
        if begun or not iterations or self.job.elsewhere:
            return replace(settings, pass_pairs=begun or settings.batch)
        return choose_passes(settings, self.nets, memory_of(self.job.gpu))

    def _solver(self, start):
        """The solver of this run: its trunk is `start`'s, its heads fresh, or its verification head kept."""
        solver = caffe.SGDSolver(str(self.folder / "solver.prototxt"))
        for name, blobs in start.params.items():
            for target, source in zip(solver.net.params[name], blobs):
                target.data[...] = source.data
        if self.start()["verification_head"] == "kept":
            kept = read_caffemodel(self.job.init)[preflight.VERIFICATION]
            for target, source in zip(solver.net.params[preflight.VERIFICATION], kept):
                target.data[...] = values(source).reshape(target.data.shape)
        return solver

    def _file(self, when, side):
        return self.folder / "features" / when / f"{side}.npz"
