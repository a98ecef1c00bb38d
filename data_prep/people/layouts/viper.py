"""VIPeR's layout: cam_a/000_0.bmp, cam_b/000_90.bmp, one image a camera."""

from pathlib import Path

import cv2

from data_prep.people.draw import draw
from data_prep.readers import viper


def write(folder: Path, people: list[int], tested: int | None) -> dict:
    """Write the people of these seeds; GENERATED.json needs nothing more to tell what was written."""
    (folder / "cam_a").mkdir()
    (folder / "cam_b").mkdir()
    for number, person in enumerate(people):
        for camera, name in ((1, f"cam_a/{number:03d}_0.bmp"), (2, f"cam_b/{number:03d}_90.bmp")):
            picture = draw(person, camera, size=(viper.WIDTH, viper.HEIGHT))
            (folder / name).write_bytes(cv2.imencode(".bmp", picture)[1].tobytes())
    return {}
