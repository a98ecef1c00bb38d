"""The single-shot protocol: rankings worked by hand, a count over every draw, a simulation, and sampling."""

import itertools

import numpy as np
import pytest

from reid.common.errors import InputError
from reid.metrics.distance import squared_distances
from reid.metrics.single_shot import exact, sampled
from reid.metrics.summary import over_splits, summary


def test_one_image_a_view_by_hand():
    distances = np.array([[.1, .2, .3],     # own image first: rank 1
                          [.1, .2, .3],     # own image second: rank 2
                          [.2, .1, .3]])    # own image last: rank 3
    ranking = exact(distances, [1, 2, 3], [1, 2, 3])
    np.testing.assert_allclose(ranking.chances, np.eye(3))
    np.testing.assert_allclose(ranking.first, [1, 2, 3])
    figures = summary(ranking, ranks=(1, 2, 20))
    assert figures["cmc"] == pytest.approx({"1": 1 / 3, "2": 2 / 3, "20": 1})
    assert figures["mAP"] == pytest.approx({"step": (1 + 1 / 2 + 1 / 3) / 3,
                                            "trapezoid": (1 + 1 / 4 + 1 / 6) / 3})


def test_two_images_a_view_by_hand():
    # Gallery: identity a at .2 and .4; b at .1 and .3. a's image .2 is beaten by b's .1 in half of the draws,
    # a's image .4 by both of b's in all of them: rank 1 with probability (1/2 + 0) / 2.
    ranking = exact(np.array([[.2, .4, .1, .3]]), ["a"], ["a", "a", "b", "b"])
    np.testing.assert_allclose(ranking.chances, [[.25, .75]])


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
    np.testing.assert_allclose(exact(distances, query_ids, gallery_ids).chances.mean(axis=0),
                               brute_force(distances, query_ids, gallery_ids), atol=1e-12)


@pytest.fixture(scope="module")
def several_images_a_view():
    """Distances (60, 120) between 30 identities of 2 probes and 4 gallery images each, with their ids."""
    rng = np.random.default_rng(3)
    gallery_ids, query_ids = np.repeat(np.arange(30), 4), np.repeat(np.arange(30), 2)
    return rng.random((60, 120)) + .7 * (query_ids[:, None] != gallery_ids), query_ids, gallery_ids


def test_exact_agrees_with_ten_thousand_simulated_draws(several_images_a_view):
    distances, query_ids, gallery_ids = several_images_a_view
    rng = np.random.default_rng(1)
    # the fixture's gallery has identity after identity
    gallery = distances.reshape(60, 30, 4)
    ranks = np.empty((10_000, 60), int)
    for draw in ranks:
        drawn = gallery[:, np.arange(30), rng.integers(0, 4, 30)]
        draw[:] = 1 + (drawn < drawn[np.arange(60), query_ids][:, None]).sum(axis=1)
    cmc = summary(exact(distances, query_ids, gallery_ids), ranks=range(1, 31))["cmc"]
    for k in range(1, 31):
        share = (ranks <= k).mean(axis=1)
        # what no draw showed is rare
        assert abs(share.mean() - cmc[str(k)]) <= 4.5 * share.std() / 100 + 1e-5
    first = exact(distances, query_ids, gallery_ids).first
    assert (abs(ranks.mean(axis=0) - first) <= 4.5 * ranks.std(axis=0) / 100).all()


def test_sampling_agrees_within_its_own_standard_error(several_images_a_view):
    truth = summary(exact(*several_images_a_view), ranks=(1, 2, 5))
    drawn = summary(sampled(*several_images_a_view, 400, np.random.default_rng(0)), ranks=(1, 2, 5))
    assert "standard_error" not in truth
    for k in ("1", "2", "5"):
        assert 0 < drawn["standard_error"][k] < .01
        assert abs(drawn["cmc"][k] - truth["cmc"][k]) < 4 * drawn["standard_error"][k]


def test_equal_features_score_chance():
    distances = np.zeros((50, 50))
    for ranking in (exact(distances, np.arange(50), np.arange(50)),
                    sampled(distances, np.arange(50), np.arange(50), 1, np.random.default_rng(0))):
        np.testing.assert_allclose(ranking.chances.mean(axis=0), 1 / 50)


def test_a_probe_without_match_is_a_miss_and_is_counted():
    distances = np.array([[.1, .2], [.1, .2]])
    for ranking in (exact(distances, [1, 9], [1, 2]),
                    sampled(distances, [1, 9], [1, 2], 3, np.random.default_rng(0))):
        figures = summary(ranking, ranks=[2])
        assert (figures["queries"], figures["queries_without_match"]) == (2, 1)
        assert figures["cmc"] == pytest.approx({"2": .5}) and figures["mAP"]["step"] == pytest.approx(.5)
        assert summary(ranking, ranks=[2], leave_out=True)["cmc"] == pytest.approx({"2": 1})
    with pytest.raises(InputError, match="none of the 1 queries"):
        summary(exact(distances[:1], [9], [1, 2]), leave_out=True)


def test_splits_are_averaged_with_their_standard_deviation():
    ids = np.arange(2)
    first, second = (summary(exact(np.array(d), ids, ids), ranks=[1])
                     for d in ([[.1, .2], [.2, .1]], [[.1, .2], [.1, .2]]))    # rank-1 of 1 and of 1/2
    both = over_splits([first, second])
    assert both["queries"] == 4 and both["splits"] == [first, second]
    assert both["cmc"] == pytest.approx({"1": .75}) and both["std"]["cmc"] == pytest.approx({"1": .125 ** .5})
    assert both["mAP"]["step"] == pytest.approx((1 + .75) / 2)


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
