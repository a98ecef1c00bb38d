"""One split of one stage: a folder, and the steps that fill it.

OUT/<stage>/split00/
    settings.yaml                  what was asked for: a run only goes on, and only counts as done, for the same
    train, test, deploy, solver    .prototxt of this split
    log.txt  losses.csv  test.csv  evaluation.csv
    snapshots/000500/              weights, solver state, checksums
    start.json                     where the weights at the start come from, and whether a verification head was kept
    features/before, after/        query.npz and gallery.npz, from the weights at the start and at the end
    result.json                    the figures and where they come from; written last
"""

import json

import caffe
import numpy as np
import yaml

from reid.common.errors import InputError
from reid.common.files import sha256_file, write_whole
from reid.engine import snapshots
from reid.engine.alarms import alarms
from reid.engine.loop import train
from reid.engine.schedule import schedule
from reid.engine.settings import FREE, as_plain
from reid.features.extract import extract
from reid.features.histogram import histograms
from reid.formats.caffemodel import read_caffemodel, values
from reid.formats.feature_file import read_features, write_features
from reid.formats.image_lmdb import ImageStore
from reid.formats.manifest import split_checksum
from reid.formats.pair_lmdb import PairStore
from reid.nets.bases import BASES
from reid.provenance import lineage
from reid.provenance.versions import versions
from reid.stages import preflight
from reid.stages.evaluator import GALLERY, MULTI, QUERY, Search
from reid.stages.prototxt import nets, write_prototxt


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
        self.labels = training.labels
        self.schedule = schedule(job.settings, training, held_out)
        self.search = Search(manifest, name)
        self.asked = self._asked()
        self.versions = versions()
        self._check_same()

    def result(self):
        """The result.json that is there, as a dict, or None; InputError where it is damaged."""
        file = self.folder / "result.json"
        return lineage.read_result(self.folder) if file.is_file() else None

    def finished(self):
        """Whether the result is there, of as many iterations as are asked for.

        InputError where it was made of other data than lie there now.
        """
        result = self.result()
        if result and result.get("split_sha256", now := split_checksum(self.manifest, self.name)) != now:
            raise InputError(f"{self.folder}: {self.job.data / 'manifest.json'} has changed since this run was "
                             "finished; bring the data back, or choose another --out")
        return result is not None and result["iterations"] >= self.schedule.iterations

    def nets(self):
        """The nets of the run, {"train", "test", "deploy": NetParameter}."""
        return nets(self.job, self.job.data / self.name, self.entry["classes"])

    def write_nets(self):
        """Write the prototxt files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_prototxt(self.folder, self.job, self.nets(), self.schedule)

    def check_head(self, head):
        """InputError where the folder was begun with another choice for the verification head ("kept", "fresh", …)."""
        file = self.folder / "start.json"
        before = json.loads(file.read_text())["verification_head"] if file.is_file() else "fresh"
        if (self.folder / "settings.yaml").is_file() and {before, head} == {"kept", "fresh"}:
            raise InputError(f"{self.folder}: was begun with a {before} verification head, not a {head} one; ask for "
                             "the same again, or choose another --out")

    def begin(self, head):
        """Write the settings: from here on the folder is for these alone.

        head: what becomes of the verification head, as in stage.Look.
        """
        start = {"verification_head": head, "parent": lineage.parent(self.job.origin, self.folder, self.job.out)}
        write_whole(self.folder / "start.json", json.dumps(start, indent=1) + "\n")
        write_whole(self.folder / "settings.yaml", yaml.safe_dump(self.asked, sort_keys=False))

    def train(self, start):
        """Train from the trunk `start` (a caffe.Net), rank the test identities before and after, write the result."""
        done, seconds, weights, after = 0, 0.0, None, None
        if self.schedule.iterations:
            solver = self._solver(start)
            trunk = caffe.Net(str(self.folder / "deploy.prototxt"), caffe.TEST)
            trunk.share_with(solver.net)
            try:
                kept, seconds = train(
                    solver, self.folder, self.job.settings, self.schedule,
                    lambda: self.search.figures(self.features(trunk, (QUERY, GALLERY)))["cmc"], self.log)
            finally:
                for net in (solver.net, *solver.test_nets):
                    net.layers[0].close()
            facts = snapshots.facts(kept)
            done, sha256 = facts["iteration"], facts["sha256"][snapshots.WEIGHTS]
            weights = {"file": str((kept / snapshots.WEIGHTS).relative_to(self.folder)), "sha256": sha256}
            self.keep("after", self.features(trunk, self.search.rows))
            after = self.search.figures(self._kept("after"))
        self._write_result(done, seconds, weights, after)

    def features(self, trunk, sides):
        """Features of the split's test images from a deploy net: {"query": (N, D), "gallery": (M, D), …}."""
        feature = BASES[self.job.base].feature
        return {side: extract(trunk, feature, self.images, self.search.rows[side], self.job.settings) for side in sides}

    def keep(self, when, features):
        """Write the features of `when` ("before" or "after"), given as {side: (N, D)}, as feature files."""
        (self.folder / "features" / when).mkdir(parents=True, exist_ok=True)
        for side in self.search.rows:
            about = self.search.about(side)
            write_features(self._file(when, side), features[side], about["ids"], about["cams"], about["names"])

    def has_before(self):
        """Whether the features of the weights at the start are there, of the images that the manifest names."""
        files = {side: self._file("before", side) for side in self.search.rows}
        return all(file.is_file() and
                   np.array_equal(read_features(file).get("names"), self.search.about(side)["names"])
                   for side, file in files.items())

    def log(self, line):
        """Print a line and keep it."""
        print(f"{self.job.stage} {self.name}: {line}", flush=True)
        with open(self.folder / "log.txt", "a") as file:
            print(line, file=file)

    def _asked(self):
        """What is asked for, as plain values; the weights that another stage is still to train have no checksum yet."""
        job, entry = self.job, self.entry
        init = {"file": job.origin.file.name, "sha256": job.origin.sha256} if job.origin else None
        return {"stage": job.stage, "split": self.name, "base": job.base, "objective": job.objective,
                "init": {"file": snapshots.WEIGHTS, "sha256": None} if job.awaits else init,
                "data": {"images": self.manifest["image_lmdb"]["sha256"],
                         "train_pairs": entry["train_pairs"]["sha256"], "test_pairs": entry["test_pairs"]["sha256"]},
                "settings": as_plain(job.settings)}

    def _check_same(self):
        """InputError where the folder was begun with something that makes other figures."""
        file = self.folder / "settings.yaml"
        if not file.is_file():
            return
        before, now = (_binding(asked) for asked in (yaml.safe_load(file.read_text()), self.asked))
        for key in {**before, **now}:
            if before.get(key) != now.get(key) and not (self.job.awaits and key.startswith("init")):
                raise InputError(f"{self.folder}: was begun with {key} {before.get(key)}, not {now.get(key)}; "
                                 "ask for the same again, or choose another --out")

    def _solver(self, start):
        """The solver of this run: its trunk is that of `start`, its heads are fresh, or the verification head is kept."""
        solver = caffe.SGDSolver(str(self.folder / "solver.prototxt"))
        for name, blobs in start.params.items():
            for target, source in zip(solver.net.params[name], blobs):
                target.data[...] = source.data
        if self._start()["verification_head"] == "kept":
            kept = read_caffemodel(self.job.init)[preflight.VERIFICATION]
            for target, source in zip(solver.net.params[preflight.VERIFICATION], kept):
                target.data[...] = values(source).reshape(target.data.shape)
        return solver

    def _start(self):
        return json.loads((self.folder / "start.json").read_text())

    def _write_result(self, done, seconds, weights, after):
        protocol = self.manifest["protocol"]
        colours = {side: histograms(self.images, self.search.rows[side]) for side in self.search.rows}
        before = self.search.figures(self._kept("before"))
        mode = {"mode": "exact"} if protocol == "single-shot" else {}
        result = {**self.asked, "dataset": self.manifest["dataset"], "generated": self.manifest["generated"],
                  "split_origin": self.entry["origin"], "protocol": protocol, **mode,
                  "data_seed": self.manifest["seed"], "pair_schedule": self.manifest["schedule"],
                  "manifest_sha256": sha256_file(self.job.data / "manifest.json"),
                  "split_sha256": split_checksum(self.manifest, self.name),
                  "train_identities": self.entry["classes"], "test_identities": self.search.identities(),
                  "before": before, "after": after, "histogram": self.search.figures(colours),
                  "chance": self.search.chance(), "iterations": done, "weights": weights,
                  "seconds": round(seconds, 3),
                  "pairs_per_second": round(done * self.schedule.step / seconds, 2) if done else None,
                  "alarms": alarms(self.folder) if done else [],
                  "device": "cpu" if self.job.gpu is None else "gpu", "versions": self.versions,
                  "data_folder": lineage.place(self.job.data, self.folder, self.job.out), **self._start()}
        result["lineage"] = [*lineage.up_to(self.job.origin, self.job.settings.seed), lineage.entry(result)]
        write_whole(self.folder / "result.json", json.dumps(result, indent=1) + "\n")
        for when in ("histogram", "before", "after") if done else ("histogram", "before"):
            self.log(f"{when:>9}: {_shares(result[when])}")
            for how, figures in result[when].get(MULTI, {}).items():
                self.log(f"{'':9}  multiple query, {how}: {_shares(figures)}")

    def _kept(self, when):
        return {side: read_features(self._file(when, side))["features"] for side in self.search.rows}

    def _file(self, when, side):
        return self.folder / "features" / when / f"{side}.npz"


def _shares(figures):
    """The figures in per cent, in a line."""
    ranks = ", ".join(f"rank-{k} {100 * v:.1f} %" for k, v in figures["cmc"].items())
    return ranks + f", mAP {100 * figures['mAP']['trapezoid']:.1f} % (step {100 * figures['mAP']['step']:.1f} %)"


def _binding(asked):
    """What a run must have in common with another to be the same, flat: {"settings.lr": 0.001, …}."""
    flat = {}
    for key, value in asked.items():
        flat.update({f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value})
    return {key: value for key, value in flat.items()
            if key.removeprefix("settings.") not in FREE and key != "init.file"}    # a file's name changes nothing
