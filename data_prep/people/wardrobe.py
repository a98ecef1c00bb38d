"""The looks of a generated person: build, skin, hair, clothes, shoes, bag.

Clothes have the few colours that people really wear, so that colours alone distinguish few people; cut,
pattern, bag, hair and build distinguish the rest. Colours are BGR, 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from reid.common.rng import generator

CLOTH = {"black": (.10, .09, .09), "charcoal": (.26, .25, .25), "grey": (.55, .55, .54),
         "white": (.92, .93, .93), "navy": (.33, .17, .13), "denim": (.60, .43, .32),
         "red": (.17, .13, .68), "khaki": (.48, .62, .68),
         "green": (.27, .38, .26), "brown": (.18, .26, .37)}
SKIN = ((.62, .74, .92), (.52, .65, .84), (.40, .53, .72), (.27, .37, .53), (.17, .24, .36))
HAIR = ((.07, .07, .08), (.10, .14, .20), (.14, .23, .36), (.38, .60, .76), (.60, .62, .63))
HAIRCUTS = ("short", "bald", "long", "ponytail", "bun", "cap", "beanie", "hood")
TOPS = ("tee", "jumper", "jacket", "coat", "sleeveless")
BOTTOMS = ("trousers", "shorts", "skirt", "long skirt")
PATTERNS = ("plain", "hoops", "pinstripes", "check", "yoke", "band", "hem", "halves", "patch")
Choice = TypeVar("Choice")
BAGS = ("none", "backpack", "shoulder bag", "handbag")


@dataclass(frozen=True)
class Person:
    """One identity. `girth`, `stature`: 1 is the average; `side`, −1 or 1: where bag and strap are."""
    stature: float
    girth: float
    skin: tuple
    hair: tuple
    haircut: str
    top: str
    pattern: str
    colour: tuple
    second: tuple
    bottom: str
    bottom_colour: tuple
    trouser_stripe: bool
    shoes: tuple
    bag: str
    bag_colour: tuple
    side: int


def dress(seed: int) -> Person:
    """Return the person of a seed."""
    rng = generator(seed, "wardrobe")

    def pick(choices: Sequence[Choice], weights: Sequence[float] | None = None) -> Choice:
        chances = None if weights is None else np.array(weights) / np.sum(weights)
        return choices[rng.choice(len(choices), p=chances)]

    colour, second = rng.choice(list(CLOTH), 2, replace=False, p=_chances("white", "black", "grey", "navy"))
    bottom_colour = rng.choice(list(CLOTH), p=_chances("denim", "black", "khaki"))
    bag_colour = rng.choice(list(CLOTH), p=_chances("black", "red"))
    return Person(
        stature=rng.uniform(.93, 1.04), girth=rng.uniform(.84, 1.24),
        skin=pick(SKIN), hair=pick(HAIR, (4, 3, 3, 2, 1)), haircut=pick(HAIRCUTS, (5, 1, 4, 2, 1, 2, 1, 2)),
        top=pick(TOPS, (4, 4, 4, 2, 1)), pattern=pick(PATTERNS, (5, 3, 2, 2, 2, 2, 1, 1, 3)),
        colour=CLOTH[colour], second=CLOTH[second],
        bottom=pick(BOTTOMS, (7, 3, 2, 1)), bottom_colour=CLOTH[bottom_colour],
        trouser_stripe=rng.random() < .2,
        shoes=CLOTH[pick(("black", "white", "brown", "charcoal"))],
        bag=pick(BAGS, (4, 4, 3, 3)), bag_colour=CLOTH[bag_colour],
        side=int(rng.choice((-1, 1))))


def _chances(*favourites: str) -> np.ndarray:
    """Return the chance of each cloth colour, three times as high for the favourites."""
    weights = np.array([3. if name in favourites else 1. for name in CLOTH])
    return weights / weights.sum()
