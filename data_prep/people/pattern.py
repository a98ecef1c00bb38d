"""Patterns of the upper garment, fixed to the body: they turn with it when it is seen from another side."""

import numpy as np

from data_prep.people.brush import Painter
from data_prep.people.wardrobe import CLOTH, Person


def around(across: np.ndarray, yaw: float, centre: float = 0.) -> np.ndarray:
    """Return the angle around the body, −π to π from `centre` (0: the front), across a visible part."""
    angle = np.arcsin(across) - yaw - centre
    return (angle + np.pi) % (2 * np.pi) - np.pi


def mix(first: tuple, second: tuple, where: np.ndarray) -> np.ndarray:
    """Return `second` where the mask is true, else `first`, as colours (…, 3)."""
    return np.where(np.asarray(where)[..., None], np.float32(second), np.float32(first))


_PATTERNS = {
    "plain": lambda v, angle: np.zeros_like(v, bool),
    "hoops": lambda v, angle: np.sin(v * 34) > 0,
    "pinstripes": lambda v, angle: np.sin(angle * 7) > .25,
    "check": lambda v, angle: (np.sin(v * 24) > 0) ^ (np.sin(angle * 5) > 0),
    "yoke": lambda v, angle: v < .36,
    "band": lambda v, angle: np.abs(v - .42) < .11,
    "hem": lambda v, angle: v > .70,
    "halves": lambda v, angle: angle < 0,
    "patch": lambda v, angle: (np.abs(v - .40) < .14) & (np.abs(angle) < .55),
}
"""Where the second colour is: v from 0 at the shoulders to 1 at the hem, angle 0 at the front."""


def garment(person: Person, yaw: float) -> Painter:
    """Return the paint of a person's upper garment: pattern, open front, straps."""
    def paint(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        angle = around(across, yaw)
        colour = mix(person.colour, person.second, _PATTERNS[person.pattern](along, angle))
        if person.top in ("jacket", "coat"):
            inner = person.second if person.pattern == "plain" else CLOTH["white"]
            colour = np.where((np.abs(angle) < .16 + .22 * along)[..., None], np.float32(inner), colour)
        return np.where(_straps(person, along, angle)[..., None], np.float32(person.bag_colour), colour)
    return paint


def _straps(person: Person, along: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Two straps over the front for a backpack, one across front and back for a shoulder bag."""
    if person.bag == "backpack":
        return (np.abs(np.abs(angle) - .75) < .14) & (along < .6)
    if person.bag == "shoulder bag":
        return np.abs(np.sin(angle) * person.side - 2 * along + .9) < .16
    return np.zeros_like(along, bool)
