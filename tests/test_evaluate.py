"""tools/evaluate.py and the feature files it reads and writes, as a user meets them."""

import csv
import json
from functools import partial

import numpy as np
import programs
import pytest
from scipy.io import loadmat

from reid.common.errors import InputError
from reid.formats.feature_file import read_features, write_features
from reid.metrics.distance import squared_distances
from reid.metrics.single_shot import exact
from reid.metrics.summary import summary

evaluate = partial(programs.run, "tools/evaluate.py")


@pytest.fixture(scope="module")
def single_shot(tmp_path_factory):
    """Feature files of two splits of 12 identities: query0, gallery0, query1, gallery1."""
    folder = tmp_path_factory.mktemp("single_shot")
    rng = np.random.default_rng(2)
    for split in range(2):
        people = rng.normal(size=(12, 16))
        for name, camera in (("query", 1), ("gallery", 2)):
            write_features(folder / f"{name}{split}.npz", people + rng.normal(size=people.shape),
                           np.arange(12), np.full(12, camera), [f"{name}/{n}.png" for n in range(12)])
    return folder


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Feature files in the plane: queries of identities 7 and 8; a gallery with junk and a distractor."""
    folder = tmp_path_factory.mktemp("market")

    def write(name, rows):
        angles, ids, cams = np.array(rows, float).T
        features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        write_features(folder / f"{name}.npz", features, ids.astype(int), cams.astype(int),
                       [f"{name}/{n}.png" for n in range(len(rows))])

    write("query", [(0, 7, 1), (.5, 8, 2)])
    # Angle, identity, camera: to query 7 good at rank 2 and 4; to query 8 no match but from its own camera.
    write("gallery", [(0, -1, 2), (.1, 7, 1), (.2, 0, 1), (.3, 7, 2), (.4, 5, 2), (.6, 7, 3), (.9, 8, 2)])
    write("multi", [(0, 7, 1), (.84, 7, 1), (3, 7, 2), (.5, 8, 2)])
    return folder


def market_files(folder):
    return ["--protocol", "market1501", "--query", folder / "query.npz", "--gallery", folder / "gallery.npz"]


def test_single_shot_figures(single_shot, tmp_path):
    files = ["--query", single_shot / "query0.npz", "--gallery", single_shot / "gallery0.npz"]
    done = evaluate("--protocol", "single-shot", *files, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    query, gallery = (read_features(single_shot / f"{name}0.npz") for name in ("query", "gallery"))
    expected = summary(exact(squared_distances(query["features"], gallery["features"]), query["ids"],
                             gallery["ids"]))
    written = json.loads((tmp_path / "out.json").read_text())
    assert written == {"protocol": "single-shot", "mode": "exact", **expected}
    assert set(written["cmc"]) == {"1", "5", "10", "20"} and set(written["mAP"]) == {"trapezoid", "step"}
    assert f"rank-1 {100 * expected['cmc']['1']:14.2f} %" in done.stdout

    done = evaluate("--protocol", "single-shot", *files, "--draws", 3, "--ranks", 2, "--json",
                    tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["mode"] == "sampled" and set(written["cmc"]) == {"2"}
    assert written["standard_error"]["2"] >= 0


def test_splits_are_averaged(single_shot, tmp_path):
    sides = {name: [single_shot / f"{name}{split}.npz" for split in range(2)]
             for name in ("query", "gallery")}
    done = evaluate("--protocol", "single-shot", "--query", *sides["query"], "--gallery", *sides["gallery"],
                    "--ranks", 1, 3, "--json", tmp_path / "out.json", "--per-query", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "out.json").read_text())
    each = [split["cmc"]["1"] for split in written["splits"]]
    assert written["queries"] == 24 and each[0] != each[1]
    assert written["cmc"]["1"] == pytest.approx(sum(each) / 2)
    assert written["std"]["cmc"]["1"] == pytest.approx(abs(each[0] - each[1]) / 2 ** .5)
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [row["split"] for row in rows] == ["0"] * 12 + ["1"] * 12 and rows[3]["name"] == "query/3.png"
    for k in (1, 3):
        assert np.mean([float(row[f"within_{k}"]) for row in rows]) == pytest.approx(written["cmc"][str(k)])


def test_market_figures_by_hand(market, tmp_path):
    done = evaluate(*market_files(market), "--ranks", 1, 2, "--json", tmp_path / "a.json",
                    "--per-query", tmp_path / "a.csv")
    assert done.returncode == 0, done.stderr
    trapezoid, step = ((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2, (1 / 2 + 2 / 4) / 2
    written = json.loads((tmp_path / "a.json").read_text())
    assert written == {"protocol": "market1501", "queries": 2, "queries_without_match": 1,
                       "cmc": {"1": 0, "2": .5},
                       "mAP": {"trapezoid": pytest.approx(trapezoid / 2), "step": pytest.approx(step / 2)}}
    first, second = csv.DictReader((tmp_path / "a.csv").open())
    kept = [first[key] for key in ("matches", "first_match", "within_1", "within_2")]
    assert kept == ["2", "2", "0", "1"]
    assert (second["matches"], second["first_match"], second["AP_step"]) == ("0", "", "0.000000")
    done = evaluate(*market_files(market), "--leave-out", "--json", tmp_path / "b.json")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "b.json").read_text())
    assert written["mAP"]["step"] == pytest.approx(step) and written["queries_without_match"] == 1


def test_multiple_query_searches_with_the_pooled_feature(market, tmp_path):
    # The mean of angles 0 and .84 lies at .42: wrong at .4, matches at .3 and .6. The maximum, (1, sin .84),
    # lies at .64: match at .6, wrong at .4 and .9, match at .3.
    for how, step in (("mean", (1 / 2 + 2 / 3) / 2), ("max", (1 + 2 / 4) / 2)):
        done = evaluate(*market_files(market), "--multi-query", market / "multi.npz", "--pool", how,
                        "--leave-out", "--json", tmp_path / "out.json")
        assert done.returncode == 0, done.stderr
        written = json.loads((tmp_path / "out.json").read_text())
        assert written["pool"] == how and written["queries"] == 2
        assert written["mAP"]["step"] == pytest.approx(step)
    assert "multiple query, max" in done.stdout


def test_exports_hold_what_was_ranked(market, tmp_path):
    done = evaluate(*market_files(market), "--npz", tmp_path / "all.npz", "--mat", tmp_path / "mat")
    assert done.returncode == 0, done.stderr
    query, gallery = (read_features(market / f"{name}.npz") for name in ("query", "gallery"))
    distances = squared_distances(query["features"], gallery["features"])
    written = np.load(tmp_path / "all.npz")
    np.testing.assert_allclose(written["distances"], distances, atol=1e-6)
    for name in ("features", "ids", "cams", "names"):
        np.testing.assert_array_equal(written[f"query_{name}"], query[name])
        np.testing.assert_array_equal(written[f"gallery_{name}"], gallery[name])

    def variable(name):    # MATLAB's importdata gives the one variable of a file
        (value,) = (v for key, v in loadmat(tmp_path / "mat" / f"{name}.mat").items()
                    if not key.startswith("__"))
        return value
    np.testing.assert_allclose(variable("dist"), distances.T, atol=1e-6)
    np.testing.assert_array_equal(variable("Hist_query"), query["features"].T)
    np.testing.assert_array_equal(variable("Hist_test"), gallery["features"].T)
    for name, values in (("queryID", query["ids"]), ("queryCAM", query["cams"]), ("testID", gallery["ids"]),
                         ("testCAM", gallery["cams"])):
        column = variable(f"data/{name}")
        assert column.dtype == np.float64
        np.testing.assert_array_equal(column, values[:, None])
    done = evaluate(*market_files(market), "--mat", tmp_path / "mat")
    assert done.returncode == 2 and "is there already" in done.stderr


GOOD = {"features": np.ones((3, 4), np.float32), "ids": np.arange(3), "cams": np.ones(3, int)}
BAD = {
    "NaN": ({"features": np.float32([[1, 1], [1, np.nan], [1, 1]])}, "feature 1 holds NaN or infinity"),
    "infinity": ({"features": np.float32([[1, 1], [1, 1], [np.inf, -np.inf]])},
                 "feature 2 holds NaN or infinity"),
    "no matrix": ({"features": np.ones(3)}, r"features \(3,\) must be \(N, D\)"),
    "no features": ({"features": np.ones((3, 0))}, r"features \(3, 0\) must be \(N, D\)"),
    "complex features": ({"features": np.ones((3, 4), complex)}, "complex128; they must be real numbers"),
    "fewer ids": ({"ids": np.arange(2)}, r"features \(3, 4\) must be \(N, D\), and ids \(2,\)"),
    "more cameras": ({"cams": np.ones(4, int)}, r"cams \(4,\)"),
    "fewer names": ({"names": np.array(["a"])}, r"names \(1,\)"),
    "broken identities": ({"ids": np.array([1., np.nan, 2.])}, "ids are of type float64"),
    "unknown camera": ({"cams": np.array([1, 2, -1])}, "camera -1 of image 2 is not known"),
    "camera that is no number": ({"cams": np.array(["a", "b", "c"])}, "camera a of image 0 is not known"),
}


@pytest.mark.parametrize("change, message", BAD.values(), ids=BAD)
def test_a_bad_feature_file_is_named(change, message, tmp_path):
    np.savez(tmp_path / "bad.npz", **{**GOOD, **change})
    with pytest.raises(InputError, match=f"bad.npz: .*{message}"):
        read_features(tmp_path / "bad.npz")


def test_errors_of_the_command_name_the_files(market, single_shot, tmp_path):
    np.savez(tmp_path / "short.npz", **GOOD)
    np.savez(tmp_path / "lacking.npz", ids=np.arange(12))
    np.savez(tmp_path / "named.npz", **{**GOOD, "ids": np.array(["a", "b", "c"])})
    (tmp_path / "text.npz").write_text("not an archive")
    query = ["--protocol", "market1501", "--query", market / "query.npz", "--gallery"]
    for arguments, expected in (
            ([*query, tmp_path / "short.npz"], ["2 values", "features 4", "query.npz", "short.npz"]),
            ([*query, tmp_path / "lacking.npz"], ["lacking.npz", "lacks", "features"]),
            ([*query, tmp_path / "named.npz"], ["named.npz", "none could match"]),
            ([*query, tmp_path / "text.npz"], ["text.npz", "cannot be read"]),
            ([*query, tmp_path / "missing.npz"], ["missing.npz", "No such file"]),
            ([*market_files(market), "--multi-query", single_shot / "query0.npz"],
             ["identity 8 from camera 2"]),
            ([*market_files(market), "--draws", 3], ["--draws belongs to --protocol single-shot"]),
            (["--protocol", "single-shot", *query[2:], market / "gallery.npz", "--draws", 10 ** 23],
             ["must be from 1 to 1,000,000"]),
            ([*query, market / "gallery.npz", market / "gallery.npz"], ["the same number of files"])):
        done = evaluate(*arguments)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert all(text in done.stderr for text in expected), done.stderr
