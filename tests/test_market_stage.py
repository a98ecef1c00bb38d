"""Market-1501 and `large` as stages, on generated people: figures are those of tools/evaluate.py."""

import itertools
import json
from pathlib import Path

import numpy as np
import programs
import pytest
from stages import SHORT, run_stage, tiny_job

from data_prep.prepare import prepare
from reid.engine.tables import read
from reid.formats.feature_file import read_features
from reid.formats.manifest import Database, Images, Manifest, PreparedSplit
from reid.metrics.average_precision import average_precision
from reid.metrics.chance import market1501_chance
from reid.stages.evaluator import Evaluator


def train(dataset, raw, out):
    data = out / "data"
    prepare(dataset, raw, data, splits=[0], epochs=1)
    asked = tiny_job(data, out / "runs", *SHORT, "test_every=2", "evaluate_every=1", stage=dataset)
    return run_stage(asked, [0])[0]


@pytest.fixture(scope="module")
def market(generated_large, tmp_path_factory):
    return train("market1501", generated_large / "market1501", tmp_path_factory.mktemp("market"))


def evaluated(folder, *arguments):
    """The figures of tools/evaluate.py on the feature files in `folder`."""
    out = folder / "figures.json"
    done = programs.run("tools/evaluate.py", "--query", folder / "query.npz", "--gallery",
                        folder / "gallery.npz", "--protocol", "market1501", "--json", out, *arguments)
    assert done.returncode == 0
    return {key: value for key, value in json.loads(out.read_text()).items()
            if key not in ("protocol", "pool")}


def test_figures_are_those_of_the_written_features(market):
    result = json.loads((market / "result.json").read_text())
    assert result["protocol"] == "market1501" and result["test_identities"] == 3 and result["generated"]
    for when in ("before", "after"):
        folder, figures = market / "features" / when, dict(result[when])
        pooled = figures.pop("multi_query")
        assert figures == evaluated(folder) and set(figures["mAP"]) == {"trapezoid", "step"}
        for pool in ("mean", "max"):
            assert pooled[pool] == evaluated(folder, "--multi-query", folder / "multi_query.npz",
                                             "--pool", pool)
    assert set(result["histogram"]["multi_query"]) == {"mean", "max"}
    assert read(market / "evaluation.csv")["rank_1"][-1] == pytest.approx(result["after"]["cmc"]["1"],
                                                                          abs=1e-6)


def test_identities_are_numbers_with_junk_and_distractors(market):
    gallery = read_features(market / "features/after/gallery.npz")
    assert gallery["ids"].dtype.kind == "i" and {-1, 0} < set(gallery["ids"].tolist())
    assert all(int(Path(name).name.split("_")[0]) == identity
               for name, identity in zip(gallery["names"], gallery["ids"]))
    query, boxes = (read_features(market / f"features/after/{side}.npz") for side in ("query", "multi_query"))
    assert {*zip(query["ids"], query["cams"])} == {*zip(boxes["ids"], boxes["cams"])}


def test_chance_is_the_mean_over_all_orders():
    query, cams = np.array([7, 8, 9]), np.array([1, 1, 2])
    gallery, seen = np.array([7, 7, 8, 0, -1, 7]), np.array([2, 3, 1, 2, 2, 1])
    # without junk: to 7; 8 has no match; nor has 9
    left = [["good", "good", "bad", "bad"], None, ["bad"] * 5]
    ranks = [np.flatnonzero(order) + 1
             for order in itertools.permutations([one == "good" for one in left[0]])]
    expected = market1501_chance(query, cams, gallery, seen, ranks=(1, 2, 3, 5))
    for k in (1, 2, 3, 5):
        assert expected["cmc"][str(k)] == pytest.approx(np.mean([one[0] <= k for one in ranks]) / 3)
    for flavour in ("trapezoid", "step"):
        mean = np.mean([average_precision(one)[flavour] for one in ranks])
        assert expected["mAP"][flavour] == pytest.approx(mean / 3)


def test_a_query_without_boxes_is_pooled_from_itself():
    pairs = Database(sha256="", bytes=0)
    split = PreparedSplit(classes=0, origin="", query=[0, 1], gallery=[2, 3], multi_query=[4],
                          train_pairs=pairs, test_pairs=pairs)
    images = Images(path=list("abcde"), identity=[2, 2, 2, 1, 2], camera=[1, 2, 3, 1, 1], sha256=[""] * 5)
    manifest = Manifest(dataset="market1501", generated=False, protocol="market1501", seed=0, epochs=1,
                        schedule="literal", flip=False, size=256, identities=["-1", "0000", "0007"],
                        images=images, splits={"split00": split})
    evaluator = Evaluator(manifest, "split00")
    assert evaluator.alone == 1 and evaluator.rows["multi_query"] == [4, 1]
    assert evaluator.about("gallery")["ids"].tolist() == [7, 0]


def test_large_is_a_stage(generated_large, tmp_path):
    result = json.loads((train("large", generated_large, tmp_path) / "result.json").read_text())
    assert result["protocol"] == "single-shot" and result["mode"] == "exact" and result["dataset"] == "large"
    assert result["after"]["cmc"]["20"] == pytest.approx(1) and "multi_query" not in result["after"]
