"""The README's picture of generated people is the one that its program draws."""

import cv2
import numpy as np

from tools.people_picture import PICTURE, picture


def test_the_committed_picture_is_what_is_drawn():
    drawn, committed = picture(), cv2.imread(str(PICTURE))
    assert committed.shape == drawn.shape and drawn.std() > 40
    assert np.abs(committed.astype(int) - drawn).mean() < 5    # a JPEG
