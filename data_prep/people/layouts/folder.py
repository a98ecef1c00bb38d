"""The layout of a user's own images: IDENTITY/CAMERA/1.png, one photograph by each of six cameras."""

from pathlib import Path

import cv2

from data_prep.people.camera import CAMERAS
from data_prep.people.draw import draw
from data_prep.readers.market1501 import SIZE


def write(folder: Path, people: list[int], tested: int | None) -> dict:
    """Write the people of these seeds; GENERATED.json needs nothing more to tell what was written."""
    for number, person in enumerate(people, 1):
        for camera in CAMERAS:
            path = folder / f"{number:04d}" / str(camera) / "1.png"
            path.parent.mkdir(parents=True)
            path.write_bytes(cv2.imencode(".png", draw(person, camera, size=SIZE))[1].tobytes())
    return {}
