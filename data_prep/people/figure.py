"""A dressed person as a list of parts, each a lit cylinder, painted from far to near."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_prep.people.body import Pose, breadth, joints, project
from data_prep.people.brush import Canvas
from data_prep.people.pattern import around, mix, second_colour
from data_prep.people.wardrobe import CLOTH, Person


@dataclass(frozen=True)
class Part:
    """One part: nearness to the camera, and what Canvas.limb needs."""
    nearness: float
    start: np.ndarray
    end: np.ndarray
    radii: tuple
    paint: Callable | tuple
    flat: bool = False


def paint_person(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Paint a person in a pose onto a canvas."""
    body = joints(pose, person.girth)
    parts = [part for build in (_legs, _torso, _arms, _head, _bag) for part in build(person, pose, body)]
    for part in sorted(parts, key=lambda part: part.nearness):
        canvas.limb(part.start, part.end, part.radii, part.paint, part.flat)


def _part(pose: Pose, start, end, radii, paint, flat=False, lift=0., spread=1.) -> Part:
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


def _trouser_leg(person: Person, pose: Pose, side: int, reach: float):
    """Return the paint of a leg: trousers as far down as `reach` (of this bone), skin below, a stripe on the seam."""
    stripe = person.second if person.trouser_stripe else person.bottom_colour

    def paint(along, across):
        seam = np.abs(around(across, pose.yaw, side * np.pi / 2)) < .45
        cloth = mix(person.bottom_colour, stripe, seam)
        return np.where((along > reach)[..., None], np.float32(person.skin), cloth)
    return paint


def _arms(person: Person, pose: Pose, body: dict) -> list[Part]:
    sleeve = {"tee": .6, "sleeveless": 0}.get(person.top, 2)
    thick = {"coat": 1.2, "jacket": 1.15}.get(person.top, 1.) * (.6 + .4 * person.girth)
    second = person.second if person.pattern == "halves" else person.colour
    parts = []
    for side in (-1, 1):
        shoulder, elbow, hand = (body[name, side] for name in ("shoulder", "elbow", "hand"))
        fabric = person.colour if side > 0 else second

        def paint(along, across, reach, fabric=fabric):
            bands = person.pattern == "hoops" and np.sin(along * 14) > 0
            return np.where((along > reach)[..., None], np.float32(person.skin), mix(fabric, person.second, bands))
        lower = .034 if sleeve > 1 else .026
        parts.append(_part(pose, hand, hand + [0, .022, 0], (.021, .018), person.skin, lift=.002))
        parts.append(_part(pose, elbow, hand, np.array([.032, lower * .8]) * thick,
                           lambda along, across, paint=paint: paint(along, across, sleeve - 1), lift=.002))
        parts.append(_part(pose, shoulder, elbow, np.array([.037, .033]) * thick,
                           lambda along, across, paint=paint: paint(along, across, sleeve), lift=.003))
    return parts


def _torso(person: Person, pose: Pose, body: dict) -> list[Part]:
    """Hips and skirt, then the upper garment from the shoulders to its hem, then the neck."""
    girth, bulk = person.girth, {"coat": 1.12, "jacket": 1.08}.get(person.top, 1.)
    hem = {"coat": .70, "jumper": .545, "jacket": .55}.get(person.top, .53)
    skirt = {"skirt": .70, "long skirt": .90}.get(person.bottom)

    def seen(width, depth):
        return breadth(width * girth, depth * girth, pose.yaw)
    lower = [seen(.095, .075), seen(.106, .088), seen(.090, .078)]
    if skirt:
        lower = [seen(.095, .075), seen(.12, .10), seen(.135, .125)]
    shoulders = breadth(.120 * (.6 + .4 * girth), .062, pose.yaw)
    upper = [shoulders * .38, shoulders * .84, shoulders, seen(.114, .086), seen(.109, .088), seen(.104, .09),
             seen(.101, .09), seen(.103, .09), seen(.108, .09)]
    lowest = skirt or .51
    return [_part(pose, np.array([0, .46, 0]), np.array([0, lowest, 0]), lower, person.bottom_colour, bool(skirt)),
            _part(pose, np.array([0, .155, 0]), np.array([0, hem, 0]), np.array(upper) * bulk,
                  second_colour(person, pose.yaw), True, lift=.004),
            _part(pose, body["chin"], np.array([0, .175, 0]), (.036, .042), person.skin, lift=.0045)]


def _head(person: Person, pose: Pose, body: dict) -> list[Part]:
    hat = {"cap": person.second, "beanie": person.second, "hood": person.colour}.get(person.haircut, person.hair)
    brow = {"bald": -1., "cap": .38, "beanie": .42, "hood": .20}.get(person.haircut, .25)
    face = {"hood": .85, "long": .95, "bald": 9.}.get(person.haircut, 1.35)
    nape = {"short": .62, "cap": .62, "beanie": .70, "bun": .72, "ponytail": .72}.get(person.haircut, 9.)

    def paint(along, across):
        angle = np.abs(around(across, pose.yaw))
        covered = (along < brow + .09 * angle ** 2) | ((angle > face) & (along < nape))
        eyes = (np.abs(along - .42) < .06) & (np.abs(angle - .38) < .2)
        skin = np.float32(person.skin) * np.where(eyes, .6, 1)[..., None]
        cover = np.where((along < .45)[..., None], np.float32(hat), np.float32(hat if nape > 1 else person.hair))
        return np.where(covered[..., None], cover, skin)
    size = 1.16 if person.haircut in ("hood", "long") else 1.06 if person.haircut == "beanie" else 1.
    radii = np.array([.030, .044, .049, .049, .044, .034]) * size * breadth(1, 1.12, pose.yaw)
    parts = [_part(pose, np.array([0, .022, .0]), np.array([0, .118, .008]), radii, paint, lift=.01)]
    if person.haircut == "long":
        parts.append(_part(pose, np.array([0, .08, -.04]), np.array([0, .235, -.075]), (.055, .06, .045), person.hair))
    if person.haircut == "ponytail":
        parts.append(_part(pose, np.array([0, .06, -.065]), np.array([0, .20, -.10]), (.018, .026, .012), person.hair))
    if person.haircut == "bun":
        parts.append(_part(pose, np.array([0, .02, -.05]), np.array([0, .035, -.06]), (.03, .03), person.hair))
    if person.haircut == "cap":
        parts.append(_part(pose, np.array([0, .058, .04]), np.array([0, .064, .095]), (.014, .010), person.second,
                           lift=.02))
    return parts


def _bag(person: Person, pose: Pose, body: dict) -> list[Part]:
    side, colour = person.side, person.bag_colour
    if person.bag == "backpack":
        wide = breadth(.095, .06, pose.yaw)
        back = -.115 * person.girth
        return [_part(pose, np.array([0, .19, back]), np.array([0, .43, back]),
                      (wide * .75, wide, wide * 1.05, wide), colour),
                _part(pose, np.array([0, .34, back - .05]), np.array([0, .41, back - .05]), (wide * .6, wide * .6),
                      tuple(.7 * np.array(colour)))]
    if person.bag == "shoulder bag":
        hip = np.array([side * (.12 + .03 * person.girth), .47, -.02])
        wide = breadth(.035, .085, pose.yaw)
        return [_part(pose, hip, hip + [0, .10, 0], (wide, wide * 1.05), colour, True)]
    if person.bag == "handbag":
        hand = body["hand", side]
        wide = breadth(.035, .085, pose.yaw)
        return [_part(pose, hand, hand + [0, .05, 0], (.007, .007), CLOTH["black"]),
                _part(pose, hand + [0, .05, 0], hand + [0, .17, 0], (wide * .8, wide, wide), colour, True)]
    return []
