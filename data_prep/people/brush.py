"""The brush: a canvas on which round, lit, patterned parts are painted from far to near."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import ArrayLike

Painter = Callable[[np.ndarray, np.ndarray], np.ndarray]    # (along, across) to colours (…, 3)
Paint = Painter | tuple[float, float, float]
Box = tuple[slice, slice]    # rows and columns of a picture


def cloud(rng: np.random.Generator, height: int, width: int, grain: float) -> np.ndarray:
    """Return smooth noise, float (height, width), about −1 to 1, in blobs about `grain` pixels wide."""
    small = rng.uniform(-1, 1, (int(height / grain) + 3, int(width / grain) + 3)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


class Canvas:
    """A picture, float (H, W, 3) BGR 0 to 1, with place, size and light of the person painted on it."""

    def __init__(self, picture: np.ndarray, origin: ArrayLike, scale: float, light: float,
                 rng: np.random.Generator) -> None:
        """`origin`: pixel (x, y) of the crown; `scale`: pixels of a stature; `light`: −1 left to 1 right."""
        self.picture, self.origin, self.scale, self.light = picture, np.asarray(origin, float), scale, light
        size = picture.shape[:2]
        self.folds = 1 + .10 * cloud(rng, *size, grain=scale / 26) + .04 * cloud(rng, *size, grain=3)

    def limb(self, start: ArrayLike, end: ArrayLike, radii: ArrayLike, paint: Paint,
             flat: bool = False) -> None:
        """Paint a round part whose axis runs from `start` to `end` (x, y in statures).

        `radii`: half-widths in statures at equal steps along the axis. `paint`: a colour, or a function of
        (along, across) that returns colours (…, 3); along runs from 0 to 1 down the axis, across from −1 to 1
        (the outline). Ends are round unless `flat`.
        """
        start, end = (self.origin + self.scale * np.asarray(point) for point in (start, end))
        radii = self.scale * np.asarray(radii, float)
        x, y, box = self._box(start, end, radii.max())
        axis = end - start
        length = np.hypot(*axis) + 1e-6
        right, down = np.array([axis[1], -axis[0]]) / length, axis / length
        aside = (x - start[0]) * right[0] + (y - start[1]) * right[1]
        below = (x - start[0]) * down[0] + (y - start[1]) * down[1]
        along = np.clip(below / length, 0, 1)
        radius = np.interp(along, np.linspace(0, 1, len(radii)), radii)
        beyond = below - along * length
        inside = np.abs(beyond) < .7 if flat else True
        cover = np.clip(radius - np.hypot(aside, beyond) + .5, 0, 1) * inside
        across = np.clip(aside / np.maximum(radius, .5), -1, 1)
        colour = paint(along, across) if callable(paint) else np.asarray(paint, np.float32)
        self._blend(box, colour * self._shade(across, box)[..., None], cover)

    def _box(self, start: np.ndarray, end: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray, Box]:
        height, width = self.picture.shape[:2]
        low = np.floor(np.minimum(start, end) - margin - 1).astype(int)
        high = np.ceil(np.maximum(start, end) + margin + 2).astype(int)
        left, right = np.clip((low[0], high[0]), 0, width)
        top, bottom = np.clip((low[1], high[1]), 0, height)
        y, x = np.mgrid[top:bottom, left:right]
        return x, y, (slice(top, bottom), slice(left, right))

    def _shade(self, across: np.ndarray, box: Box) -> np.ndarray:
        """Light falls on a cylinder: brightest where the surface turns to it, darker towards the outline."""
        towards = across * self.light * .8 + np.sqrt(1 - across ** 2) * .75
        return (.42 + .72 * np.clip(towards, 0, 1)) * self.folds[box]

    def _blend(self, box: Box, colour: np.ndarray, cover: np.ndarray) -> None:
        part = self.picture[box]
        part += cover[..., None] * (colour - part)
