"""Photographs of generated people: who, by which camera, which shot or frame; and of nobody at all."""

import cv2
import numpy as np

from data_prep.people.body import Pose
from data_prep.people.brush import Canvas
from data_prep.people.camera import CAMERAS, Camera, expose
from data_prep.people.figure import paint_person
from data_prep.people.scene import paint_scene
from data_prep.people.wardrobe import Person, dress
from reid.common.rng import generator

_OVERSIZE = 3  # painted this many times larger than the photograph, which smooths every edge


def draw(identity_seed: int, camera: int, shot: int = 0, size: tuple[int, int] = (48, 128)) -> np.ndarray:
    """Return a photograph, uint8 (H, W, 3) BGR, of the person of `identity_seed`.

    `camera`: a key of CAMERAS; `shot`: which photograph of this person by this camera; `size`: (width,
    height).
    """
    rng = generator(identity_seed, "shot", camera, shot)
    width, height = (_OVERSIZE * length for length in size)
    view = CAMERAS[camera]
    picture = paint_scene(height, width, camera, rng)
    light = rng.uniform(-1, 1)
    if rng.random() < .15:
        _place(picture, dress(int(rng.integers(2 ** 32))), view, light, rng, passer_by=True)
    _place(picture, dress(identity_seed), view, light, rng)
    return expose(picture, view, size, rng)


def track(identity_seed: int, camera: int, frames: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Return `frames` photographs, uint8 (H, W, 3) BGR, of a person as they walk past a camera.

    They show one pose, as the boxes of a tracked person do; each is framed and lit a little differently.
    """
    first = draw(identity_seed, camera, 0, size)
    return [first] + [reframe(first, generator(identity_seed, "frame", camera, frame))
                      for frame in range(1, frames)]


def empty(seed: int, camera: int, size: tuple[int, int]) -> np.ndarray:
    """Return a photograph, uint8 (H, W, 3) BGR, of a camera's scene with nobody in it."""
    rng = generator(seed, "empty", camera)
    width, height = (_OVERSIZE * length for length in size)
    return expose(paint_scene(height, width, camera, rng), CAMERAS[camera], size, rng)


def reframe(photograph: np.ndarray, rng: np.random.Generator, zoom: float = 1.,
            shift: float = .04) -> np.ndarray:
    """Return a photograph cut out anew.

    It is enlarged `zoom` times, give or take 6 %, and moved by up to `shift` of its height and width, under
    light that is up to 12 % stronger or weaker.
    """
    height, width = photograph.shape[:2]
    scale = zoom * rng.uniform(.94, 1.06)
    move = np.array([width, height]) * (.5 - .5 * scale + rng.uniform(-shift, shift, 2))
    warp = np.float32([[scale, 0, move[0]], [0, scale, move[1]]])
    framed = cv2.warpAffine(photograph, warp, (width, height), borderMode=cv2.BORDER_REFLECT)
    return cv2.convertScaleAbs(framed, alpha=rng.uniform(.88, 1.12))


def _place(picture: np.ndarray, person: Person, view: Camera, light: float, rng: np.random.Generator,
           passer_by: bool = False) -> None:
    """Paint a person into the scene: in the middle, or passing by in the distance at the edge."""
    height, width = picture.shape[:2]
    scale = height * view.zoom * rng.uniform(.95, 1.06) * person.stature * (.7 if passer_by else 1)
    middle = rng.choice((.02, .98)) if passer_by else rng.normal(.5, .05)
    feet = height * (.84 if passer_by else rng.uniform(.955, 1.0))
    yaw = rng.choice(view.yaws, p=(.45, .25, .20, .10)) + rng.normal(0, .18)
    pose = Pose(yaw, rng.uniform(-1, 1), rng.uniform(0, .9))
    _shadow(picture, middle * width, feet, scale, light)
    paint_person(Canvas(picture, (middle * width, feet - scale), scale, light, rng), person, pose)


def _shadow(picture: np.ndarray, x: float, y: float, scale: float, light: float) -> None:
    """Darken the ground around the feet, on the side away from the light."""
    rows, columns = np.mgrid[:picture.shape[0], :picture.shape[1]]
    away = ((columns - x + light * .12 * scale) / (.20 * scale)) ** 2 + ((rows - y) / (.035 * scale)) ** 2
    picture *= (1 - .55 * np.exp(-away))[..., None].astype(np.float32)
