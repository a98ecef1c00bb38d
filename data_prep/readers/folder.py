"""A user's own images, in folders: <identity>/<camera>/<anything>.png, the camera a whole number.

Generated people may be among them; they are not counted, since nobody has published how many there should be.
"""

import re
from pathlib import Path

from data_prep.index import Image, Index, camera_number, check_cameras
from data_prep.readers.dataset import Dataset
from data_prep.readers.generated import read_mark
from data_prep.readers.listing import list_files, refuse
from reid.common.errors import InputError

_NAME = re.compile(r"([^/]+)/(\d+)/[^/]+\.(?:png|jpg|jpeg|bmp)", re.IGNORECASE)


def read(root: Path) -> Index:
    """Read a user's own folder; InputError says what is wrong with it."""
    found = [(name, _NAME.fullmatch(name)) for name in list_files(root)]
    refuse(root, [name for name, match in found if not match],
           "<identity>/<camera>/<image>.png, .jpg, .jpeg or .bmp, the camera a whole number")
    images = tuple(Image(name, match[1], camera_number(root / name, match[2])) for name, match in found)
    if not images:
        raise InputError(f"{root}: no images in it; expected <identity>/<camera>/<image>.png")
    check_cameras(root, images)
    mark = read_mark(root, "folder")
    return Index(DATASET.name, root, images, DATASET.protocol, mark is not None,
                 tested=mark and mark["tested"])


DATASET = Dataset(name="folder", read=read)
