"""The pair schedule, against hand-worked values and the paper's own words."""

import numpy as np
import pytest

from data_prep.pairs import RATIOS, Partners, held_out, train_epoch, translations
from reid.common.errors import InputError
from reid.common.rng import generator
from reid.formats.pair_lmdb import PAIR

# Ten images: identity 7 seen by cameras 1, 2, 2; identity 8 by camera 1 twice; identity 9 by 1 … 5.
IMAGES = np.array([3, 4, 5, 10, 11, 20, 21, 22, 23, 24])
IDENTITY = np.array([7, 7, 7, 8, 8, 9, 9, 9, 9, 9])
CAMERA = np.array([1, 2, 2, 1, 1, 1, 2, 3, 4, 5])


def epoch(ratio=1.0, flip=True, seed=0, number=0):
    return train_epoch(Partners(IMAGES, IDENTITY, CAMERA), translations(25, seed), ratio, flip,
                       generator(seed, "pairs", 0, number))


def identity_of(places):
    return IDENTITY[np.searchsorted(IMAGES, places)]


def test_a_pair_is_fifteen_bytes():
    assert PAIR.itemsize == 15


def test_ratios_by_hand():
    literal, public = RATIOS["literal"], RATIOS["public"]
    assert literal(0) == public(0) == 1          # "positive and negative counts equal at first"
    assert literal(10) == pytest.approx(1.104622, abs=1e-6)
    assert literal(74) == pytest.approx(2.0882, abs=1e-4)     # the last of 75 epochs: 3:1 is not reached …
    assert literal(111) == literal(200) == 3                  # … until epoch 111
    assert public(69) < 3 < public(70)
    assert public(200) == 4


@pytest.mark.parametrize("ratio, positives", [(1, 25), (1.5, 20), (2.0882, 16), (3, 12)])
def test_positives_are_the_anchors_over_one_plus_the_ratio(ratio, positives):
    assert np.sum(epoch(ratio)["same"] == 0) == positives     # of 5 · 10 anchors


def test_every_augmented_image_is_the_anchor_once():
    moves = translations(25, 0)
    expected = sorted((image, *move) for image in IMAGES for move in moves[image].tolist())
    for number in range(3):
        assert sorted(epoch(number=number)[["a", "a_dy", "a_dx"]].tolist()) == expected
    assert epoch(number=0)["a"].tolist() != epoch(number=1)["a"].tolist()


def test_five_different_translations_within_five_percent():
    moves = translations(500, 1)
    assert moves.shape == (500, 5, 2) and np.abs(moves).max() == 12     # 0.05 · 256 = 12.8
    assert all(len(set(map(tuple, five))) == 5 for five in moves.tolist())
    counts = np.bincount(moves.ravel().astype(int) + 12, minlength=25)
    assert counts.min() > 130 and counts.max() < 270     # 200 expected; five standard deviations
    assert np.array_equal(moves[:10], translations(10, 1))


def test_pairs_say_the_truth():
    pairs = np.concatenate([epoch(number=number) for number in range(40)])
    same = identity_of(pairs["a"]) == identity_of(pairs["b"])
    assert np.array_equal(same, pairs["same"] == 0)
    assert np.all(pairs["a"] != pairs["b"])
    moves = translations(25, 0)
    assert all(move in moves[place].tolist() for place, *move in pairs[["b", "b_dy", "b_dx"]].tolist())


def test_positives_come_from_another_camera_where_one_exists():
    pairs = np.concatenate([epoch(number=number) for number in range(40)])
    positives = pairs[pairs["same"] == 0]
    partners = {image: set(positives["b"][positives["a"] == image].tolist()) for image in IMAGES}
    assert partners[3] == {4, 5} and partners[4] == partners[5] == {3}
    assert partners[10] == {11} and partners[11] == {10}     # one camera only: its other image
    assert partners[22] == {20, 21, 23, 24}


def test_negatives_are_uniform_over_the_images_of_other_identities():
    partners = Partners(IMAGES, IDENTITY, CAMERA)
    for place in range(len(IMAGES)):
        others = np.flatnonzero(IDENTITY != IDENTITY[place])
        drawn = partners.negative(np.full(2000 * len(others), place), generator(0, "test", place))
        counts = np.bincount(drawn, minlength=len(IMAGES))
        assert np.all(np.delete(counts, others) == 0)
        assert np.abs(counts[others] - 2000).max() < 250     # five standard deviations


def test_flips_are_a_fair_coin_for_each_use_or_never():
    pairs = np.concatenate([epoch(number=number) for number in range(100)])
    for side in ("a_flip", "b_flip"):
        assert abs(pairs[side].mean() - .5) < .036     # five standard deviations of 5,000 tosses
    assert abs((pairs["a_flip"] == pairs["b_flip"]).mean() - .5) < .036
    assert not epoch(flip=False)["a_flip"].any() and not epoch(flip=False)["b_flip"].any()


def test_an_epoch_is_a_function_of_its_seed_and_number():
    assert np.array_equal(epoch(number=3), epoch(number=3))
    assert not np.array_equal(epoch(seed=1), epoch(seed=2))


def test_held_out_pairs():
    identity = np.full(40, -1)
    identity[IMAGES] = IDENTITY
    query, gallery = np.array([30, 32, 34]), np.array([31, 33, 35, 36, 37])
    identity[30:38] = [1, 1, 2, 2, 3, 3, 3, 3]
    camera = np.array([0] * 30 + [1, 2, 1, 2, 1, 2, 2, 1, 0, 0])     # 37 is by its query's own camera
    pairs = held_out(Partners(IMAGES, IDENTITY, CAMERA), query, gallery, identity, camera,
                     generator(0, "held out"))
    judged, shown = pairs[0::2], pairs[1::2]
    assert len(judged) == len(shown) == 6
    assert sorted(judged["a"].tolist()) == [30, 30, 32, 32, 34, 34] and set(judged["b"]) <= set(gallery)
    assert np.array_equal(identity[judged["a"]] == identity[judged["b"]], judged["same"] == 0)
    assert sorted(judged["same"].tolist()) == [0, 0, 0, 1, 1, 1]
    assert np.all((camera[judged["a"]] != camera[judged["b"]])[judged["same"] == 0])
    assert set(shown["same"]) == {-1} and np.array_equal(identity_of(shown["a"]), identity_of(shown["b"]))
    assert np.all(shown["a"] != shown["b"])
    for field in ("a_dy", "a_dx", "b_dy", "b_dx", "a_flip", "b_flip"):
        assert not pairs[field].any()


def test_a_single_training_identity_has_no_negatives():
    with pytest.raises(InputError, match="only one identity trains"):
        Partners(IMAGES[:3], IDENTITY[:3], CAMERA[:3])
