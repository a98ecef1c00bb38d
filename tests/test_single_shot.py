"""The single-shot protocol: hand-worked rankings, a brute-force count over every draw, and sampling."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_prep.errors import InputError
from reid.metrics.distance import squared_distances
from reid.metrics.single_shot import exact, sampled

ROOT = Path(__file__).resolve().parents[1]


def test_one_image_a_view_by_hand():
    distances = np.array([[.1, .2, .3],     # own image first: rank 1
                          [.1, .2, .3],     # own image second: rank 2
                          [.2, .1, .3]])    # own image last: rank 3
    ranking = exact(distances, [1, 2, 3], [1, 2, 3])
    np.testing.assert_allclose(ranking.ranks, [1 / 3, 1 / 3, 1 / 3])
    assert ranking.cmc(2) == pytest.approx(2 / 3)
    assert ranking.cmc(20) == pytest.approx(1)
    average = ranking.mean_average_precision()
    assert average["step"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert average["trapezoid"] == pytest.approx((1 + 1 / 4 + 1 / 6) / 3)


def test_two_images_a_view_by_hand():
    # Gallery: identity a at .2 and .4; b at .1 and .3. a's image .2 is beaten by b's .1 in half of the draws,
    # a's image .4 by both of b's in all of them: rank 1 with probability (1/2 + 0) / 2.
    ranking = exact(np.array([[.2, .4, .1, .3]]), ["a"], ["a", "a", "b", "b"])
    np.testing.assert_allclose(ranking.ranks, [.25, .75])


def brute_force(distances, query_ids, gallery_ids):
    """Every possible gallery, one after the other, ranked by Python's own stable sort."""
    identities = sorted(set(gallery_ids))
    counts = np.zeros(len(identities))
    draws = list(itertools.product(*[[j for j, g in enumerate(gallery_ids) if g == i] for i in identities]))
    for draw in draws:
        for row, identity in zip(distances, query_ids):
            order = [gallery_ids[j] for j in sorted(sorted(draw), key=lambda j: row[j])]
            counts[order.index(identity)] += 1
    return counts / len(draws) / len(distances)


@pytest.mark.parametrize("seed", range(5))
def test_exact_is_the_average_over_every_draw(seed):
    rng = np.random.default_rng(seed)
    gallery_ids = np.concatenate([np.arange(5), rng.integers(0, 5, 6)]).tolist()
    query_ids = rng.integers(0, 5, 7).tolist()
    distances = rng.integers(0, 6, (7, 11)) / 6       # many ties
    np.testing.assert_allclose(exact(distances, query_ids, gallery_ids).ranks,
                               brute_force(distances, query_ids, gallery_ids), atol=1e-12)


def test_sampling_agrees_within_its_own_standard_error():
    rng = np.random.default_rng(3)
    gallery_ids, query_ids = np.repeat(np.arange(30), 4), np.repeat(np.arange(30), 2)
    distances = rng.random((60, 120)) + .7 * (query_ids[:, None] != gallery_ids)
    truth = exact(distances, query_ids, gallery_ids)
    drawn = sampled(distances, query_ids, gallery_ids, 400, np.random.default_rng(0))
    for k in (1, 2, 5):
        assert 0 < drawn.standard_error[k - 1] < .01
        assert abs(drawn.cmc(k) - truth.cmc(k)) < 4 * drawn.standard_error[k - 1]


def test_equal_features_score_chance():
    distances = np.zeros((50, 50))
    for ranking in (exact(distances, np.arange(50), np.arange(50)),
                    sampled(distances, np.arange(50), np.arange(50), 1, np.random.default_rng(0))):
        np.testing.assert_allclose(ranking.ranks, 1 / 50)


def test_a_probe_without_match_is_a_miss_and_is_counted():
    distances = np.array([[.1, .2], [.1, .2]])
    for ranking in (exact(distances, [1, 9], [1, 2]),
                    sampled(distances, [1, 9], [1, 2], 3, np.random.default_rng(0))):
        assert ranking.queries_without_match == 1
        assert ranking.cmc(2) == pytest.approx(.5)


def test_distances_are_those_of_unit_vectors():
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(4, 9)).astype(np.float32), 30 * rng.normal(size=(5, 9))
    for i, q in enumerate(query.astype(np.float64)):
        for j, g in enumerate(gallery):
            by_hand = sum((q / np.sqrt((q * q).sum()) - g / np.sqrt((g * g).sum())) ** 2)
            assert squared_distances(query, gallery)[i, j] == pytest.approx(by_hand, abs=1e-12)


def test_features_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="3 values and gallery features 4"):
        squared_distances(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(InputError, match="feature 1 holds NaN"):
        squared_distances(np.array([[1., 2.], [1., np.nan]]), np.ones((2, 2)))
    with pytest.raises(InputError, match="at least one"):
        exact(np.zeros((0, 2)), [], [1, 2])


def evaluate(*arguments):
    return subprocess.run([sys.executable, ROOT / "tools" / "evaluate.py", *map(str, arguments)],
                          capture_output=True, text=True, cwd=ROOT)


def test_evaluate_command_writes_the_figures(tmp_path):
    rng = np.random.default_rng(0)
    people = rng.normal(size=(12, 16))
    for name, camera in (("query", 1), ("gallery", 2)):
        np.savez(tmp_path / f"{name}.npz", ids=np.arange(12), cams=np.full(12, camera),
                 features=(people + rng.normal(size=people.shape)).astype(np.float32))
    files = ["--query", tmp_path / "query.npz", "--gallery", tmp_path / "gallery.npz"]
    done = evaluate(*files, "--protocol", "single-shot", "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["protocol"] == "single-shot" and written["mode"] == "exact"
    assert written["queries"] == 12 and written["queries_without_match"] == 0
    assert set(written["cmc"]) == {"1", "5", "10", "20"} and set(written["mAP"]) == {"trapezoid", "step"}
    assert 0 < written["cmc"]["1"] < written["cmc"]["5"] <= written["cmc"]["20"] == pytest.approx(1)

    np.savez(tmp_path / "gallery.npz", ids=np.arange(12))
    done = evaluate(*files, "--protocol", "single-shot")
    assert done.returncode == 2 and "gallery.npz" in done.stderr and "features" in done.stderr
    assert "Traceback" not in done.stderr
