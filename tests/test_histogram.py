"""The colour histogram against counts made pixel by pixel."""

import colorsys

import numpy as np

from reid.features.histogram import histogram


def test_a_plain_image_falls_into_one_bin_a_stripe():
    image = np.zeros((3, 60, 20), np.uint8)
    image[2] = 255                                       # pure red: hue 0, saturation and value full
    descriptor = histogram(image).reshape(6, 8, 8, 4)
    np.testing.assert_allclose(descriptor[:, 0, 7, 3], 1)
    assert np.count_nonzero(descriptor) == 6


def test_shares_match_a_count_by_another_hsv_conversion():
    # Colours in the middle of their bins, so that rounding of the conversion cannot move them to another.
    rng = np.random.default_rng(0)
    hue, saturation = rng.integers(0, 8, (12, 5)), rng.integers(1, 8, (12, 5))
    value = rng.integers(1, 4, (12, 5))
    image = np.zeros((3, 12, 5), np.uint8)
    expected = np.zeros((6, 8, 8, 4))
    for y in range(12):
        for x in range(5):
            h, s, v = hue[y, x], saturation[y, x], value[y, x]
            rgb = colorsys.hsv_to_rgb((h + .5) / 8, (s + .5) / 8, (v + .5) / 4)
            image[:, y, x] = np.round(np.multiply(rgb[::-1], 255))
            expected[y // 2, h, s, v] += 1 / 10
    np.testing.assert_allclose(histogram(image).reshape(expected.shape) ** 2, expected, atol=1e-6)


def test_stripes_tell_shirt_from_trousers():
    image = np.zeros((3, 60, 20), np.uint8)
    image[2, :30], image[0, 30:] = 255, 255              # red above, blue below
    upside_down = image[:, ::-1]
    a, b = histogram(image), histogram(upside_down)
    assert np.isclose(np.linalg.norm(a), np.linalg.norm(b)) and a @ b == 0
