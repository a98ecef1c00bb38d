"""Writing generated people as a raw dataset."""

import json
from pathlib import Path

import cv2

from data_prep.errors import InputError
from data_prep.files import whole_directory
from data_prep.people.draw import draw
from data_prep.readers import viper
from data_prep.rng import generator

LAYOUTS = ("viper",)


def write(out: Path, layout: str, identities: int, seed: int) -> None:
    """Write generated people into the new folder `out`, laid out as the dataset `layout`.

    A file GENERATED.json in it says so, and every later result carries the mark. Raises InputError for an
    unknown layout, no identities and a folder that has files in it.
    """
    out = Path(out)
    if layout not in LAYOUTS:
        raise InputError(f"layout {layout!r} is not known; choose one of {', '.join(LAYOUTS)}")
    if identities < 1 or seed < 0:
        raise InputError(f"identities {identities}, seed {seed}: give at least one identity and a seed ≥ 0")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: not an empty folder; choose another --out")
    mark = {"generator": "data_prep.people", "layout": layout, "identities": identities, "seed": seed}
    with whole_directory(out) as folder:
        (folder / "cam_a").mkdir()
        (folder / "cam_b").mkdir()
        for number, identity_seed in enumerate(generator(seed, "people").integers(2 ** 62, size=identities)):
            for camera, name in ((1, f"cam_a/{number:03d}_0.bmp"), (2, f"cam_b/{number:03d}_90.bmp")):
                picture = draw(int(identity_seed), camera, size=(viper.WIDTH, viper.HEIGHT))
                (folder / name).write_bytes(cv2.imencode(".bmp", picture)[1].tobytes())
        (folder / "GENERATED.json").write_text(json.dumps(mark) + "\n")
