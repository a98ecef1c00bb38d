"""Market-1501's protocol: every rule by hand, other implementations of both APs, what must change nothing."""

import doctest

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_info

from reid.common.errors import InputError
from reid.metrics import average_precision as average_precision_module, market1501, single_shot
from reid.metrics.average_precision import average_precision
from reid.metrics.distance import distance_rows, squared_distances
from reid.metrics.market1501 import evaluate, ranks_of
from reid.metrics.multi_query import pool
from reid.metrics.protocol import rank
from reid.metrics.summary import summary

JUNK, DISTRACTOR = -1, 0


def one_query(gallery, distances=None):
    """(first match, {AP}) of a query of identity 7, camera 1; gallery: (identity, camera), nearest first."""
    ids, cams = np.array(gallery).T
    distances = np.arange(len(ids)) / 10 if distances is None else distances
    ranking = evaluate([np.array(distances)], [7], [1], ids, cams)
    return ranking.first[0], {flavour: pytest.approx(value[0])
                              for flavour, value in ranking.precision.items()}


GOOD, OWN_CAMERA, WRONG = (7, 2), (7, 1), (5, 2)
CASES = {
    # name: gallery, nearest first; rank of the nearest match; AP as trapezoid and as step
    "good bad good bad": ([GOOD, WRONG, GOOD, WRONG], 1, ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2) / 2,
                          (1 + 2 / 3) / 2),
    "first match at rank 1": ([GOOD, WRONG], 1, 1, 1),
    "a single match at rank 2": ([WRONG, GOOD], 2, 1 / 4, 1 / 2),
    "a single match at rank 4": ([WRONG, WRONG, WRONG, GOOD], 4, 1 / 8, 1 / 4),
    "matches at 2 and 3": ([WRONG, GOOD, GOOD], 2, ((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2) / 2,
                           (1 / 2 + 2 / 3) / 2),
    "all good": ([GOOD, (7, 3), GOOD], 1, 1, 1),
    "own camera is junk": ([OWN_CAMERA, OWN_CAMERA, GOOD, WRONG], 1, 1, 1),
    "own camera between": ([WRONG, OWN_CAMERA, GOOD], 2, 1 / 4, 1 / 2),
    "identity -1 is junk": ([(JUNK, 2), (JUNK, 1), WRONG, (JUNK, 3), GOOD], 2, 1 / 4, 1 / 2),
    "a distractor is wrong": ([(DISTRACTOR, 2), GOOD], 2, 1 / 4, 1 / 2),
    "a distractor of the own camera is wrong": ([(DISTRACTOR, 1), GOOD], 2, 1 / 4, 1 / 2),
    "another identity of the own camera is wrong": ([(5, 1), GOOD], 2, 1 / 4, 1 / 2),
}


@pytest.mark.parametrize("gallery, first, trapezoid, step", CASES.values(), ids=CASES)
def test_rules_by_hand(gallery, first, trapezoid, step):
    assert one_query(gallery) == (first, {"trapezoid": trapezoid, "step": step})


def test_the_worked_values_of_the_definition():
    assert average_precision(np.array([1, 3])) == pytest.approx({"trapezoid": .7917, "step": .8333}, abs=1e-4)


@pytest.mark.parametrize("module", [average_precision_module, market1501, single_shot])
def test_the_examples_in_the_docstrings(module):
    done = doctest.testmod(module)
    assert done.attempted and not done.failed


def test_equal_distances_are_in_gallery_order():
    assert one_query([WRONG, GOOD, WRONG], [.5, .5, .5])[0] == 2
    assert one_query([GOOD, WRONG], [.5, .5])[0] == 1
    # .1: own camera (junk) and wrong, .5: good at rank 2, wrong, good at rank 4
    assert one_query([OWN_CAMERA, GOOD, WRONG, GOOD, WRONG], [.1, .5, .5, .5, .1]) == (
        2, {"trapezoid": ((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2, "step": (1 / 2 + 2 / 4) / 2})


def test_a_query_without_match_is_a_miss_unless_left_out():
    distances = np.array([[.1, .2, .3], [.1, .2, .3]])
    # 9 is there from its own camera only
    ranking = evaluate(distances, [7, 9], [1, 1], [7, 5, 9], [2, 2, 1])
    assert ranking.matches.tolist() == [1, 0] and np.isnan(ranking.first[1])
    figures = summary(ranking, ranks=(1, 3))
    assert (figures["queries"], figures["queries_without_match"]) == (2, 1)
    assert figures["cmc"] == {"1": .5, "3": .5} and figures["mAP"] == {"trapezoid": .5, "step": .5}
    figures = summary(ranking, ranks=[1], leave_out=True)
    assert figures["queries_without_match"] == 1 and figures["cmc"] == {"1": 1}
    assert figures["mAP"]["step"] == 1


def test_identities_as_strings_rank_the_same():
    distances, queries, cams, gallery, gallery_cams = drawn(0)
    numbers = evaluate(distances, queries, cams, gallery, gallery_cams)
    names = evaluate(distances, queries.astype(str), cams, gallery.astype(str), gallery_cams)
    np.testing.assert_array_equal(numbers.first, names.first)
    np.testing.assert_array_equal(numbers.precision["step"], names.precision["step"])


def official(good, junk, index):
    """AP and CMC of one query as the dataset's definition states them, image by image.

    good, junk: sets of gallery positions; index: all positions, nearest first.
    """
    cmc = np.zeros(len(index))
    old_recall, old_precision, ap = 0.0, 1.0, 0.0
    found = seen = skipped = 0
    for place, image in enumerate(index):
        if image in junk:
            skipped += 1
            continue
        if image in good:
            cmc[place - skipped:] = 1
            found += 1
        recall, precision = found / len(good), found / (seen + 1)
        ap += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
        seen += 1
        if found == len(good):
            break
    return ap, cmc


def drawn(seed, ties=False):
    """Distances (40, 90), query ids and cameras, gallery ids and cameras, with junk and distractors."""
    rng = np.random.default_rng(seed)
    distances = rng.integers(0, 12, (40, 90)) / 12 if ties else rng.random((40, 90))
    return (distances, rng.integers(1, 9, 40), rng.integers(1, 4, 40), rng.integers(-1, 9, 90),
            rng.integers(1, 4, 90))


@pytest.mark.parametrize("seed", range(6))
def test_both_precisions_beside_other_implementations(seed):
    distances, query_ids, query_cams, gallery_ids, gallery_cams = drawn(seed, ties=seed % 2)
    ranking = evaluate(distances, query_ids, query_cams, gallery_ids, gallery_cams)
    cmcs = []
    for q, row in enumerate(distances):
        own = (gallery_ids == query_ids[q]) & (gallery_cams == query_cams[q])
        junk = own | (gallery_ids == JUNK)
        good = (gallery_ids == query_ids[q]) & ~own
        order = np.argsort(row, kind="stable")
        ap, cmc = official(set(np.flatnonzero(good)), set(np.flatnonzero(junk)), order)
        cmcs.append(cmc)
        kept = order[~junk[order]]
        # the order is given: no ties left
        step = average_precision_score(good[kept], -np.arange(len(kept)))
        assert ranking.precision["trapezoid"][q] == pytest.approx(ap, abs=1e-12)
        assert ranking.precision["step"][q] == pytest.approx(step, abs=1e-12)
    for k in (1, 2, 5, 20, 90):
        assert summary(ranking, ranks=[k])["cmc"][str(k)] == pytest.approx(np.mean(cmcs, axis=0)[k - 1])


def test_counting_and_sorting_find_the_same_ranks(monkeypatch):
    rng = np.random.default_rng(0)
    for row in (rng.random(300), rng.integers(0, 20, 300) / 20, np.zeros(300)):
        good = rng.choice(300, 40, replace=False)
        counted = rng.random(300) < .7
        counted[good] = True
        order = np.argsort(row, kind="stable")
        ranks = np.flatnonzero(np.isin(order[counted[order]], good)) + 1
        for many in 0, 1000:
            monkeypatch.setattr(market1501, "MANY", many)
            np.testing.assert_array_equal(ranks_of(row, good, counted), ranks)


def assert_same(one, other):
    np.testing.assert_array_equal(one.first, other.first)
    for flavour in one.precision:
        np.testing.assert_array_equal(one.precision[flavour], other.precision[flavour])


@pytest.mark.parametrize("seed", range(8))
def test_what_changes_nothing(seed):
    distances, query_ids, query_cams, gallery_ids, gallery_cams = drawn(seed)
    rng = np.random.default_rng(100 + seed)
    ranking = evaluate(distances, query_ids, query_cams, gallery_ids, gallery_cams)

    order = rng.permutation(90)
    assert_same(ranking, evaluate(distances[:, order], query_ids, query_cams, gallery_ids[order],
                                  gallery_cams[order]))
    for factor in (1e-3, 4, 1e6):
        assert_same(ranking, evaluate(factor * distances, query_ids, query_cams, gallery_ids, gallery_cams))

    places = np.sort(rng.integers(0, 91, 25))
    junk = np.insert(distances, places, rng.random((40, 25)), axis=1)
    assert_same(ranking, evaluate(junk, query_ids, query_cams, np.insert(gallery_ids, places, JUNK),
                                  np.insert(gallery_cams, places, rng.integers(1, 4, 25))))


@pytest.mark.parametrize("seed", range(8))
def test_a_worse_rank_never_raises_precision(seed):
    rng = np.random.default_rng(seed)
    ranks = np.sort(rng.choice(60, 6, replace=False)) + 1
    for match in range(6):
        for worse in sorted(set(range(ranks[match] + 1, 70)) - set(ranks)):
            moved = average_precision(np.sort(np.append(np.delete(ranks, match), worse)))
            for flavour, before in average_precision(ranks).items():
                assert moved[flavour] < before


def test_pooled_queries_by_hand():
    features = np.array([[3, 0, 0], [0, 2, 0], [0, 0, 9], [5, 0, 0]], np.float32)
    ids, cams = np.array([7, 7, 7, 5]), np.array([1, 1, 2, 1])
    for how, expected in (("mean", [.5, .5, 0]), ("max", [1, 1, 0])):
        pooled = pool(np.array([7, 5]), np.array([1, 1]), features, ids, cams, how)
        np.testing.assert_allclose(pooled, [expected / np.linalg.norm(expected), [1, 0, 0]], rtol=1e-6)
    tilted = np.array([[1, 0], [.6, .8]], np.float32)    # where mean and maximum have other directions
    for how, expected in (("mean", [.8, .4]), ("max", [1, .8])):
        np.testing.assert_allclose(pool(ids[:1], cams[:1], tilted, ids[:2], cams[:2], how),
                                   [expected / np.linalg.norm(expected)], rtol=1e-6)
    with pytest.raises(InputError, match="query 1: there is no image of identity 5 from camera 2"):
        pool(np.array([7, 5]), np.array([1, 2]), features, ids, cams, "mean")


def test_rows_are_the_distances_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    query, gallery = (rng.normal(size=(n, 16)).astype(np.float32) for n in (23, 31))
    gallery[3] = 0    # a feature of zeros stays zero
    whole = squared_distances(query, gallery)
    np.testing.assert_allclose(whole[:, 3], 1)
    monkeypatch.setattr("reid.metrics.distance.QUERIES", 5)    # four products of five, one of three
    rows = np.array(list(distance_rows(query, gallery)))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, whole, atol=2e-6)
    np.testing.assert_array_equal(np.argsort(rows), np.argsort(whole))


def test_rows_leave_blas_its_threads():
    def threads():
        return [library["num_threads"] for library in threadpool_info()]
    before = threads()
    features = np.eye(3, 4, dtype=np.float32)
    assert len(list(distance_rows(features, features[:1]))) == 3    # fewer images than threads
    assert threads() == before
    rows = distance_rows(features, features)
    next(rows)
    assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {1}
    rows.close()
    assert threads() == before


@pytest.mark.parametrize("order", ["junk first", "junk last", "mixed", "junk alone"])
def test_where_junk_stands_changes_no_figure(order):
    rng = np.random.default_rng(0)
    query, gallery = ({"features": rng.normal(size=(n, 16)).astype(np.float32), "ids": rng.integers(1, 5, n),
                       "cams": rng.integers(1, 4, n)} for n in (20, 60))
    gallery["ids"][{"junk first": slice(9), "junk last": slice(51, 60), "mixed": slice(None, None, 3),
                    "junk alone": slice(None)}[order]] = JUNK
    found = rank("market1501", query, gallery)
    wanted = evaluate(squared_distances(query["features"], gallery["features"]), query["ids"], query["cams"],
                      gallery["ids"], gallery["cams"])
    assert wanted.matches.any() == (order != "junk alone")
    np.testing.assert_equal([found.matches, found.first, found.precision],
                            [wanted.matches, wanted.first, wanted.precision])


@pytest.mark.parametrize("row", [0, 4])
def test_junk_is_checked_and_counted_where_a_feature_is_wrong(row):
    query = {"features": np.ones((1, 2)), "ids": np.array([1]), "cams": np.array([1])}
    gallery = {"features": np.ones((6, 2)), "ids": np.array([JUNK, JUNK, 1, 2, 1, 2]), "cams": np.full(6, 2)}
    gallery["features"][row, 0] = np.nan
    with pytest.raises(InputError, match=f"feature {row} holds NaN"):
        rank("market1501", query, gallery)


def test_in_an_empty_gallery_nothing_is_found():
    query = {"features": np.ones((1, 2)), "ids": np.array([1]), "cams": np.array([1])}
    found = rank("market1501", query, {key: array[:0] for key, array in query.items()})
    assert found.matches == [0] and np.isnan(found.first)


@pytest.mark.parametrize("kind, scale", [(np.float32, 1e-39), (np.float64, 1e-60),
                                         (np.float64, 1e60)])
def test_how_long_features_are_changes_no_distance(kind, scale):
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(3, 8)), rng.normal(size=(9, 8))
    wanted = np.array(list(distance_rows(query, gallery)))
    found = np.array(list(distance_rows(query, (gallery * scale).astype(kind))))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="query 1 is of identity -1"):
        evaluate(np.zeros((2, 1)), [7, JUNK], [1, 1], [7], [2])
    for rows, message in (((2, 1), "row 1, of 1 distances, does not fit 1 queries and 1 gallery"),
                          ((1, 3), "row 0, of 3 distances"),
                          ((0, 1), "0 rows of distances do not fit 1 queries")):
        with pytest.raises(InputError, match=message):
            evaluate(np.zeros(rows), [7], [1], [7], [2])
    with pytest.raises(InputError, match="1 identities and 2 cameras of queries"):
        evaluate(np.zeros((1, 1)), [7], [1, 1], [7], [2])
