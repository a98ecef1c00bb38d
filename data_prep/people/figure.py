"""A dressed person as a list of parts, each a lit cylinder, painted from far to near."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from data_prep.people.body import Pose, breadth, joints, project
from data_prep.people.brush import Canvas, Paint, Painter
from data_prep.people.pattern import around, garment, mix
from data_prep.people.wardrobe import CLOTH, Person


@dataclass(frozen=True)
class Part:
    """One part: nearness to the camera, and what Canvas.limb needs."""
    nearness: float
    start: np.ndarray
    end: np.ndarray
    radii: tuple[float, ...]
    paint: Paint
    flat: bool = False


def paint_person(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Paint a person in a pose onto a canvas."""
    body = joints(pose, person.girth)
    parts = [part for build in (_legs, _torso, _arms, _head, _bag) for part in build(person, pose, body)]
    for part in sorted(parts, key=lambda part: part.nearness):
        canvas.limb(part.start, part.end, part.radii, part.paint, part.flat)


def _part(pose: Pose, start: ArrayLike, end: ArrayLike, radii: Iterable[float], paint: Paint,
          flat: bool = False, lift: float = 0., spread: float = 1.) -> Part:
    """Project a part; `lift` brings it forward among its neighbours, `spread` shrinks its distances."""
    (first, near), (last, far) = project(start, pose.yaw), project(end, pose.yaw)
    return Part(spread * (near + far) / 2 + lift, first, last, tuple(radii), paint, flat)


def _legs(person: Person, pose: Pose, body: dict) -> list[Part]:
    """Shoes, shins and thighs; a hair's breadth behind the torso, whose garments hang over them."""
    reach = {"trousers": 2.1, "shorts": 1.12}.get(person.bottom, 0)  # bones of the leg that are covered
    loose = 1.12 if reach else .92
    under = {"spread": .05, "lift": -.02}
    parts = []
    for side in (-1, 1):
        hip, knee, ankle, toe = (body[name, side] for name in ("hip", "knee", "ankle", "toe"))
        thigh = np.array([.060, .050, .043]) * (.5 + .5 * person.girth) * loose
        shin = np.array([.042, .038, .033 if reach > 2 else .024]) * (.6 + .4 * person.girth) * loose
        parts += [_part(pose, ankle + [0, .012, -.02], toe, (.023, .020), person.shoes, **under),
                  _part(pose, knee, ankle, shin, _trouser_leg(person, pose, side, reach - 1), **under),
                  _part(pose, hip, knee, thigh, _trouser_leg(person, pose, side, reach), **under)]
    return parts


def _trouser_leg(person: Person, pose: Pose, side: int, reach: float) -> Painter:
    """Return the paint of a leg: trousers down to `reach` (of the bone), their side stripe, skin below."""
    stripe = person.second if person.trouser_stripe else person.bottom_colour

    def paint(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        seam = np.abs(around(across, pose.yaw, side * np.pi / 2)) < .45
        cloth = mix(person.bottom_colour, stripe, seam)
        return np.where((along > reach)[..., None], np.float32(person.skin), cloth)
    return paint


def _arms(person: Person, pose: Pose, body: dict) -> list[Part]:
    """Hands, forearms and upper arms, each in front of the one before."""
    reach = {"tee": .6, "sleeveless": 0}.get(person.top, 2)  # bones of the arm that are covered
    thick = {"coat": 1.2, "jacket": 1.15}.get(person.top, 1.) * (.6 + .4 * person.girth)
    upper, lower = thick * np.array([.037, .033]), thick * np.array([.032, .027 if reach > 1 else .021])
    parts = []
    for side in (-1, 1):
        shoulder, elbow, hand = (body[name, side] for name in ("shoulder", "elbow", "hand"))
        parts += [_part(pose, hand, hand + [0, .022, 0], (.021, .018), person.skin, lift=.002),
                  _part(pose, elbow, hand, lower, _sleeve(person, side, reach - 1), lift=.002),
                  _part(pose, shoulder, elbow, upper, _sleeve(person, side, reach), lift=.003)]
    return parts


def _sleeve(person: Person, side: int, reach: float) -> Painter:
    """Return the paint of an arm: the garment as far down as `reach` (of this bone), skin below."""
    fabric = person.second if person.pattern == "halves" and side < 0 else person.colour

    def paint(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        bands = (person.pattern == "hoops") & (np.sin(along * 14) > 0)
        cloth = mix(fabric, person.second, bands)
        return np.where((along > reach)[..., None], np.float32(person.skin), cloth)
    return paint


def _torso(person: Person, pose: Pose, body: dict) -> list[Part]:
    """Hips and skirt, then the upper garment from the shoulders to its hem, then the neck."""
    girth, bulk = person.girth, {"coat": 1.12, "jacket": 1.08}.get(person.top, 1.)
    hem = {"coat": .70, "jumper": .545, "jacket": .55}.get(person.top, .53)
    skirt = {"skirt": .70, "long skirt": .90}.get(person.bottom)

    def seen(width: float, depth: float) -> float:
        return breadth(width * girth, depth * girth, pose.yaw)
    lower = [seen(.095, .075), seen(.106, .088), seen(.090, .078)]
    if skirt:
        lower = [seen(.095, .075), seen(.12, .10), seen(.135, .125)]
    shoulders = breadth(.120 * (.6 + .4 * girth), .062, pose.yaw)
    upper = [shoulders * .38, shoulders * .84, shoulders, seen(.114, .086), seen(.109, .088), seen(.104, .09),
             seen(.101, .09), seen(.103, .09), seen(.108, .09)]
    lowest = skirt or .51
    return [_part(pose, (0, .46, 0), (0, lowest, 0), lower, person.bottom_colour, bool(skirt)),
            _part(pose, (0, .155, 0), (0, hem, 0), np.array(upper) * bulk, garment(person, pose.yaw), True,
                  lift=.004),
            _part(pose, body["chin"], (0, .175, 0), (.036, .042), person.skin, lift=.0045)]


def _head(person: Person, pose: Pose, body: dict) -> list[Part]:
    """The head with its hair, hat or hood painted on, and what of it stands out."""
    size = {"hood": 1.16, "long": 1.16, "beanie": 1.06}.get(person.haircut, 1.)
    radii = np.array([.030, .044, .049, .049, .044, .034]) * size * breadth(1, 1.12, pose.yaw)
    parts = [_part(pose, (0, .022, 0), (0, .118, .008), radii, _face(person, pose), lift=.01)]
    if person.haircut == "long":
        parts.append(_part(pose, (0, .08, -.04), (0, .235, -.075), (.055, .06, .045), person.hair))
    if person.haircut == "ponytail":
        parts.append(_part(pose, (0, .06, -.065), (0, .20, -.10), (.018, .026, .012), person.hair))
    if person.haircut == "bun":
        parts.append(_part(pose, (0, .02, -.05), (0, .035, -.06), (.03, .03), person.hair))
    if person.haircut == "cap":
        parts.append(_part(pose, (0, .058, .04), (0, .064, .095), (.014, .010), person.second, lift=.02))
    return parts


def _face(person: Person, pose: Pose) -> Painter:
    """Return the paint of a head: a face, and hair, hat or hood above the brow and behind the ears."""
    hats = {"cap": person.second, "beanie": person.second, "hood": person.colour}
    hat = hats.get(person.haircut, person.hair)
    below = person.colour if person.haircut == "hood" else person.hair
    brow = {"bald": -9., "cap": .38, "beanie": .42, "hood": .20}.get(person.haircut, .25)
    ears = {"hood": .85, "long": .95, "bald": 9.}.get(person.haircut, 1.35)
    nape = {"long": 9., "hood": 9.}.get(person.haircut, .68)

    def paint(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        angle = np.abs(around(across, pose.yaw))
        covered = (along < brow + .09 * angle ** 2) | ((angle > ears) & (along < nape))
        eyes = (np.abs(along - .42) < .06) & (np.abs(angle - .38) < .2)
        skin = np.float32(person.skin) * np.where(eyes, .6, 1)[..., None]
        return np.where(covered[..., None], mix(below, hat, along < .45), skin)
    return paint


def _bag(person: Person, pose: Pose, body: dict) -> list[Part]:
    """The bag, if any: on the back, at the hip, or hanging from a hand."""
    side, colour = person.side, person.bag_colour
    if person.bag == "backpack":
        wide, back = breadth(.095, .06, pose.yaw), -.115 * person.girth
        pocket = tuple(.7 * np.array(colour))
        return [_part(pose, (0, .19, back), (0, .43, back), (.75 * wide, wide, 1.05 * wide, wide), colour),
                _part(pose, (0, .34, back - .05), (0, .41, back - .05), (.6 * wide, .6 * wide), pocket)]
    wide = breadth(.035, .085, pose.yaw)
    if person.bag == "shoulder bag":
        hip = np.array([side * (.12 + .03 * person.girth), .47, -.02])
        return [_part(pose, hip, hip + [0, .10, 0], (wide, wide * 1.05), colour, True)]
    if person.bag == "handbag":
        hand = body["hand", side]
        return [_part(pose, hand, hand + [0, .05, 0], (.007, .007), CLOTH["black"]),
                _part(pose, hand + [0, .05, 0], hand + [0, .17, 0], (wide * .8, wide, wide), colour, True)]
    return []
