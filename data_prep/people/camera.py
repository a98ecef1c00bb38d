"""The six cameras: the colours, sharpness, viewing directions and noise of each."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_prep.people.brush import cloud


@dataclass(frozen=True)
class Camera:
    """What a camera does to a picture.

    `gains`: blue, green, red; `exposure`, `contrast`, `saturation`: 1 is neutral; `blur`: pixels of the
    final picture; `grain`: noise, 0 to 1; `quality`: of its JPEG; `yaws`: radians from which it sees people,
    commonest first; `zoom`: part of the picture's height that a person of average stature fills.
    """
    gains: tuple[float, float, float]
    exposure: float
    contrast: float
    saturation: float
    blur: float
    grain: float
    quality: int
    yaws: tuple[float, ...]
    zoom: float


CAMERAS = {
    1: Camera(gains=(.94, 1.0, 1.05), exposure=1.0, contrast=1.1, saturation=.85, blur=.35, grain=.012,
              quality=85, yaws=(0., .7, -.7, 1.5), zoom=.90),
    2: Camera(gains=(1.16, 1.0, .90), exposure=.86, contrast=1.05, saturation=.75, blur=.55, grain=.022,
              quality=60, yaws=(1.55, -1.55, 3.1, 2.3), zoom=.86),
    3: Camera(gains=(1.05, 1.04, .94), exposure=1.12, contrast=.95, saturation=.95, blur=.30, grain=.010,
              quality=90, yaws=(3.1, 2.5, -2.5, 1.5), zoom=.92),
    4: Camera(gains=(.90, .98, 1.12), exposure=.92, contrast=1.2, saturation=1.0, blur=.45, grain=.018,
              quality=75, yaws=(-.5, .3, -1.2, 3.0), zoom=.88),
    5: Camera(gains=(1.0, 1.08, .96), exposure=.80, contrast=1.0, saturation=.70, blur=.60, grain=.026,
              quality=65, yaws=(1.2, .4, 2.0, -1.5), zoom=.84),
    6: Camera(gains=(1.10, .96, 1.0), exposure=1.05, contrast=1.15, saturation=.80, blur=.80, grain=.020,
              quality=55, yaws=(-1.9, -2.6, -1.2, 0.), zoom=.90),
}


def expose(picture: np.ndarray, camera: Camera, size: tuple[int, int],
           rng: np.random.Generator) -> np.ndarray:
    """Return the photograph, uint8 (H, W, 3) BGR with size = (W, H), of a painted scene, float (…, 3) 0 to 1.

    Light changes from shot to shot more than from person to person: exposure, colour of the light, a patch of
    sun or shade, haze.
    """
    height, width = picture.shape[:2]
    sun = 1 + rng.uniform(0, .35) * cloud(rng, height, width, height / 3)
    light = np.float32(camera.gains) * np.exp(rng.normal(0, (.10, .05, .10))) * camera.exposure
    picture = picture * sun[..., None] * (light * np.exp(rng.normal(0, .22))).astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + (picture - grey) * camera.saturation * rng.uniform(.75, 1.25)
    picture = (picture - .4) * camera.contrast * rng.uniform(.85, 1.15) + .4 + rng.uniform(-.04, .06)
    picture = np.clip(picture, 0, 1).astype(np.float32) ** np.float32(rng.uniform(.8, 1.2))
    return _sensor(_soften(picture, camera.blur * height / size[1], rng), camera, size, rng)


def _soften(picture: np.ndarray, blur: float, rng: np.random.Generator) -> np.ndarray:
    """Blur by the lens, and sometimes sideways by the person's movement; `blur` in pixels of the painting."""
    picture = cv2.GaussianBlur(picture, (0, 0), blur * rng.uniform(.8, 1.5))
    if rng.random() < .3:
        picture = cv2.blur(picture, (int(rng.integers(3, 9)), 1))
    return picture


def _sensor(picture: np.ndarray, camera: Camera, size: tuple[int, int],
            rng: np.random.Generator) -> np.ndarray:
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    noisy = small + rng.normal(0, camera.grain, small.shape)
    pixels = (np.clip(noisy, 0, 1) * 255).round().astype(np.uint8)
    quality = camera.quality + int(rng.integers(-12, 13))
    _, jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
