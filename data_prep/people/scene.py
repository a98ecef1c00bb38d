"""The scenes: each camera sees a few places of its own, a backdrop above a ground."""

import cv2
import numpy as np

from data_prep.people.brush import cloud


def _noisy(rng: np.random.Generator, height: int, width: int, colour: tuple[float, float, float],
           *grains: tuple[float, float]) -> np.ndarray:
    """A surface of one colour (BGR) with clouds of the given sizes (pixels) and strengths."""
    surface = np.full((height, width), rng.uniform(.75, 1.2), np.float32)
    for grain, strength in grains:
        surface += strength * cloud(rng, height, width, grain)
    return np.float32(colour) * np.clip(surface, .15, 2)[..., None]


def _hedge(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return _noisy(rng, height, width, (.14, .30, .24), (4, .7), (18, .5))


def _reeds(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = _noisy(rng, height, width, (.34, .48, .44), (30, .3))
    blades = cloud(rng, 1, width, 3)[0] * .35 + cloud(rng, height, width, 5) * .15
    return picture * np.clip(1 + blades, .3, 2)[..., None]


def _wall(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = _noisy(rng, height, width, (.52, .58, .64), (40, .12), (3, .05))
    step, shift = int(rng.integers(70, 110)), int(rng.integers(0, 70))
    for left in range(-shift, width, step):
        picture[height // 6:height // 2, max(left, 0):max(left + step * 2 // 3, 0)] *= rng.uniform(.25, .5)
    return picture


def _bricks(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = _noisy(rng, height, width, (.30, .34, .50), (8, .18), (40, .15))
    picture[::12] *= 1.25
    return picture


def _railing(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = _noisy(rng, height, width, (.40, .44, .42), (25, .5), (6, .3))
    step, shift = int(rng.integers(16, 26)), int(rng.integers(0, 16))
    for left in range(shift, width, step):
        picture[height // 3:, left:left + 4] = (.12, .13, .13)
    picture[height // 3:height // 3 + 6] = (.14, .15, .15)
    return picture


def _street(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Cars, doors and signs, out of focus."""
    picture = _noisy(rng, height, width, (.44, .46, .48), (30, .3))
    for _ in range(14):
        left, top = rng.integers(-30, width), rng.integers(0, height)
        wide, high = rng.integers(10, 70), rng.integers(8, 60)
        colour = rng.uniform(.08, .75) + rng.uniform(-.06, .06, 3)
        picture[top:top + high, max(left, 0):max(left + wide, 0)] = colour
    return cv2.GaussianBlur(picture, (0, 0), 2.5)


def _asphalt(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return _noisy(rng, height, width, (.46, .46, .45), (2, .12), (50, .15))


def _paving(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = _noisy(rng, height, width, (.66, .70, .73), (3, .06), (60, .12))
    row = int(rng.integers(0, 12))
    while row < height:
        picture[row:row + 2] *= .75
        row += 8 + row // 5  # rows of slabs look wider the nearer they are
    return picture


def _grass(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return _noisy(rng, height, width, (.20, .44, .34), (3, .35), (30, .25))


def _leaves(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return _noisy(rng, height, width, (.28, .36, .48), (4, .4), (30, .25))


PLACES = {1: ((_hedge, _asphalt), (_wall, _paving), (_hedge, _leaves), (_street, _paving)),
          2: ((_reeds, _grass), (_bricks, _asphalt), (_railing, _paving), (_street, _asphalt)),
          3: ((_wall, _asphalt), (_street, _leaves)),
          4: ((_bricks, _paving), (_hedge, _grass)),
          5: ((_railing, _asphalt), (_reeds, _leaves)),
          6: ((_street, _grass), (_wall, _leaves), (_bricks, _asphalt))}
"""The places that each camera sees: (backdrop, ground)."""


def paint_scene(height: int, width: int, camera: int, rng: np.random.Generator) -> np.ndarray:
    """Return an empty scene of a camera, float (height, width, 3) BGR, about 0 to 1."""
    backdrop, ground = PLACES[camera][rng.integers(len(PLACES[camera]))]
    horizon = int(height * rng.uniform(.38, .62))
    picture = np.empty((height, width, 3), np.float32)
    picture[:horizon] = backdrop(rng, horizon, width)
    picture[horizon:] = ground(rng, height - horizon, width)
    if rng.random() < .3:  # a tree trunk or a post
        left, wide = rng.integers(-10, width), rng.integers(8, 40)
        picture[:horizon + height // 12, max(left, 0):max(left + wide, 0)] = _noisy(
            rng, horizon + height // 12, width, (.16, .21, .26), (6, .4))[:, max(left, 0):max(left + wide, 0)]
    return picture
