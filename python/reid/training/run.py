"""One split of one stage: a folder, and the steps that fill it.

OUT/<stage>/split00/
    settings.yaml                  what was asked for: a run only goes on, and only counts as done, for the same
    train, test, deploy, solver    .prototxt of this split
    log.txt  losses.csv  test.csv  evaluation.csv
    snapshots/000500/              weights, solver state, checksums
    features/before, after/        query.npz and gallery.npz, from the weights at the start and at the end
    result.json                    the figures and where they come from; written last
"""

import functools
import json

import caffe
import yaml

from data_prep.errors import InputError
from data_prep.files import sha256_file, write_whole
from data_prep.store import ImageStore, PairStore
from reid.features.extract import extract
from reid.features.files import read_features, write_features
from reid.features.histogram import histograms
from reid.metrics.distance import squared_distances
from reid.metrics.single_shot import exact
from reid.metrics.summary import chance, summary
from reid.nets.bases import BASES
from reid.training import preflight, snapshots
from reid.training.files import write_prototxt
from reid.training.record import versions
from reid.training.schedule import schedule
from reid.training.settings import FREE, as_plain
from reid.training.train import train

SIDES = ("query", "gallery")


class Run:
    """One split of a Job, in its folder.

    Raises InputError where the split is not prepared, does not fit the settings, or its folder holds another run.
    """

    def __init__(self, job, manifest, name):
        preflight.check_split(job.data, name, manifest)
        self.job, self.manifest, self.name = job, manifest, name
        self.entry = manifest["splits"][name]
        self.folder = job.out / job.stage / name
        self.images = ImageStore(job.data / "images")
        training, held_out = (PairStore(job.data / name / role) for role in ("train", "test"))
        preflight.check_classes(training, self.entry)
        preflight.check_classes(held_out, self.entry)
        self.schedule = schedule(job.settings, training, held_out)
        self.asked = self._asked()
        self.versions = versions()    # of the code that runs, not of what its files have become by the end
        self._check_same()

    def finished(self):
        """Whether the result is there, of as many iterations as are asked for."""
        result = self.folder / "result.json"
        return result.is_file() and json.loads(result.read_text())["iterations"] >= self.schedule.iterations

    def write_nets(self):
        """Write the prototxt files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_prototxt(self.folder, self.job, self.job.data / self.name, self.entry["classes"], self.schedule)

    def begin(self):
        """Write the settings: from here on the folder is for these alone."""
        write_whole(self.folder / "settings.yaml", yaml.safe_dump(self.asked, sort_keys=False))

    def train(self, start):
        """Train from the trunk `start` (a caffe.Net), rank the test identities before and after, write the result."""
        done, seconds, weights, after = 0, 0.0, None, None
        if self.schedule.iterations:
            solver = self._solver(start)
            trunk = caffe.Net(str(self.folder / "deploy.prototxt"), caffe.TEST)
            trunk.share_with(solver.net)
            try:
                kept, seconds = train(solver, self.folder, self.job.settings, self.schedule,
                                      lambda: self._rank(self.features(trunk))["cmc"], self.log)
            finally:
                for net in (solver.net, *solver.test_nets):
                    net.layers[0].close()
            facts = snapshots.facts(kept)
            done, sha256 = facts["iteration"], facts["sha256"][snapshots.WEIGHTS]
            weights = {"file": str((kept / snapshots.WEIGHTS).relative_to(self.folder)), "sha256": sha256}
            self.keep("after", self.features(trunk))
            after = self._rank(self._kept("after"))
        self._write_result(done, seconds, weights, after)

    def features(self, trunk):
        """Features of the split's test images from a deploy net: {"query": (N, D), "gallery": (M, D)}."""
        feature = BASES[self.job.base].feature
        return {side: extract(trunk, feature, self.images, self.entry[side], self.job.settings) for side in SIDES}

    def keep(self, when, features):
        """Write the features of `when` ("before" or "after"), given as {side: (N, D)}, as feature files."""
        images, names = self.manifest["images"], self.manifest["identities"]
        (self.folder / "features" / when).mkdir(parents=True, exist_ok=True)
        for side in SIDES:
            rows = self.entry[side]
            write_features(self._file(when, side), features[side],
                           [names[images["identity"][row]] for row in rows],
                           [images["camera"][row] for row in rows], [images["path"][row] for row in rows])

    def has_before(self):
        """Whether the features of the weights at the start are there."""
        return all(self._file("before", side).is_file() for side in SIDES)

    def log(self, line):
        """Print a line and keep it."""
        print(f"{self.job.stage} {self.name}: {line}", flush=True)
        with open(self.folder / "log.txt", "a") as file:
            print(line, file=file)

    def _asked(self):
        """What is asked for, as plain values."""
        job, entry = self.job, self.entry
        return {"stage": job.stage, "split": self.name, "base": job.base, "objective": job.objective,
                "init": job.init and {"file": job.init.name, "sha256": _checksum(job.init)},
                "data": {"images": self.manifest["image_lmdb"]["sha256"],
                         "train_pairs": entry["train_pairs"]["sha256"], "test_pairs": entry["test_pairs"]["sha256"]},
                "settings": as_plain(job.settings)}

    def _check_same(self):
        """InputError where the folder was begun with something that makes other figures."""
        file = self.folder / "settings.yaml"
        if not file.is_file():
            return
        before, now = (_binding(asked) for asked in (yaml.safe_load(file.read_text()), self.asked))
        for key in now:
            if before.get(key) != now[key]:
                raise InputError(f"{self.folder}: was begun with {key} {before.get(key)}, not {now[key]}; "
                                 "ask for the same again, or choose another --out")

    def _solver(self, start):
        """The solver of this run, its trunk filled from `start`, its heads fresh."""
        solver = caffe.SGDSolver(str(self.folder / "solver.prototxt"))
        for name, blobs in start.params.items():
            for target, source in zip(solver.net.params[name], blobs):
                target.data[...] = source.data
        return solver

    def _rank(self, features):
        """The figures of {side: features} under the dataset's protocol."""
        ids = {side: [self.manifest["images"]["identity"][row] for row in self.entry[side]] for side in SIDES}
        distances = squared_distances(features["query"], features["gallery"])
        return summary(exact(distances, ids["query"], ids["gallery"]))

    def _write_result(self, done, seconds, weights, after):
        identities = len({self.manifest["images"]["identity"][row] for row in self.entry["gallery"]})
        colours = {side: histograms(self.images, self.entry[side]) for side in SIDES}
        before = self._rank(self._kept("before"))
        result = {**self.asked, "dataset": self.manifest["dataset"], "generated": self.manifest["generated"],
                  "split_origin": self.entry["origin"], "protocol": self.manifest["protocol"], "mode": "exact",
                  "data_seed": self.manifest["seed"], "pair_schedule": self.manifest["schedule"],
                  "manifest_sha256": sha256_file(self.job.data / "manifest.json"),
                  "train_identities": self.entry["classes"], "test_identities": identities,
                  "before": before, "after": after, "histogram": self._rank(colours),
                  "chance": {"cmc": chance(identities)}, "iterations": done, "weights": weights,
                  "seconds": round(seconds, 3),
                  "pairs_per_second": round(done * self.schedule.step / seconds, 2) if done else None,
                  "device": "cpu" if self.job.gpu is None else "gpu", "versions": self.versions}
        write_whole(self.folder / "result.json", json.dumps(result, indent=1) + "\n")
        for when in ("histogram", "before", "after") if done else ("histogram", "before"):
            shares = ", ".join(f"rank-{k} {100 * v:.1f} %" for k, v in result[when]["cmc"].items())
            self.log(f"{when:>9}: {shares}")

    def _kept(self, when):
        return {side: read_features(self._file(when, side))["features"] for side in SIDES}

    def _file(self, when, side):
        return self.folder / "features" / when / f"{side}.npz"


def _binding(asked):
    """What a run must have in common with another to be the same, flat: {"settings.lr": 0.001, …}."""
    flat = {}
    for key, value in asked.items():
        flat.update({f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value})
    return {key: value for key, value in flat.items() if key.removeprefix("settings.") not in FREE}


@functools.cache
def _checksum(path):
    return sha256_file(path)
