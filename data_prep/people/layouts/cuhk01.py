"""CUHK01's layout: campus/PPPPIII.png, images 001 and 002 by one camera, 003 and 004 by the other."""

from pathlib import Path

import cv2

from data_prep.people.draw import track
from data_prep.readers import cuhk01


def write(folder: Path, people: list[int], tested: int | None) -> dict:
    """Write the people of these seeds; GENERATED.json needs nothing more to tell what was written."""
    (folder / "campus").mkdir()
    for number, person in enumerate(people, 1):
        pictures = [picture for camera in (1, 2) for picture in track(person, camera, 2, cuhk01.SIZE)]
        for image, picture in enumerate(pictures, 1):
            data = cv2.imencode(".png", picture)[1].tobytes()
            (folder / f"campus/{number:04d}{image:03d}.png").write_bytes(data)
    return {}
