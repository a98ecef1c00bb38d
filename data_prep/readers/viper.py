"""VIPeR: 632 identities, each seen once by two cameras.

Reference: Gray, Brennan, Tao, "Evaluating Appearance Models for Recognition, Reacquisition, and Tracking",
PETS 2007. From: https://vision.soe.ucsc.edu/node/178 (archive MD5 1c2d9fc1cc800332567a0da25a1ce68c). Layout:
cam_a/000_45.bmp, cam_b/000_90.bmp: <identity>_<angle>.bmp, identities 000 to 873 with gaps, images 48×128.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from data_prep.index import Image, Index, check_cameras
from data_prep.readers.dataset import Dataset
from data_prep.readers.generated import read_mark
from data_prep.readers.listing import list_files, refuse
from data_prep.readers.published import check_names, check_sizes
from data_prep.splits.draw import Rule
from reid.common.errors import InputError

WIDTH, HEIGHT = 48, 128
_CAMERAS = {"cam_a": 1, "cam_b": 2}
_NAME = re.compile(r"(cam_[ab])/(\d+)_\d+\.bmp")
_RUNS = ((0, 246), (300, 348), (350, 351), (353, 355), (357, 362), (364, 395), (500, 529), (531, 558),
         (560, 585), (587, 601), (603, 643), (645, 662), (664, 664), (666, 667), (669, 680), (682, 687),
         (689, 690), (692, 693), (696, 703), (705, 709), (711, 711), (713, 717), (720, 726), (728, 729),
         (731, 738), (740, 741), (800, 809), (811, 856), (858, 873))
IDENTITIES = tuple(f"{number:03d}" for first, last in _RUNS for number in range(first, last + 1))


def read(root: Path) -> Index:
    """Read VIPeR, or generated people in its layout (GENERATED.json says so); InputError says what is off."""
    names = list_files(root)
    found = [(name, _NAME.fullmatch(name)) for name in names]
    refuse(root, [name for name, match in found if not match],
           "cam_a/<identity>_<angle>.bmp and cam_b/<identity>_<angle>.bmp")
    images = tuple(Image(name, match[2], _CAMERAS[match[1]]) for name, match in found)
    mark = read_mark(root, "viper")
    identities = IDENTITIES if mark is None else [f"{number:03d}" for number in range(mark["identities"])]
    check_names(root, "identities", {image.identity for image in images}, set(identities))
    check_cameras(root, images)
    _check_single(root, images)
    check_sizes(root, images, (WIDTH, HEIGHT))
    return Index(DATASET.name, root, images, DATASET.protocol, mark is not None,
                 tested=mark and mark["tested"])


def _check_single(root: Path, images: Iterable[Image]) -> None:
    views = {}
    for image in images:
        other = views.setdefault((image.identity, image.camera), image)
        if other is not image:
            raise InputError(f"{root}: {other.path} and {image.path} show the same identity from the same "
                             "camera; the dataset has one image a camera: remove the wrong one")


DATASET = Dataset(name="viper", read=read, rules={None: Rule(632, 316, name="viper")},
                  identities=IDENTITIES, flip=True)
