"""Market-1501: 1,501 identities seen by up to six cameras, with junk and distractors.

Reference: Zheng, Shen, Tian, Wang, Wang, Tian, "Scalable Person Re-identification: A Benchmark", ICCV 2015.
From: https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html (archive MD5
65005ab7d12ec1c44de4eeafe813e68a). Layout: bounding_box_train, bounding_box_test, query and gt_bbox, each of
0002_c1s1_000451_03.jpg: identity, camera, sequence, frame, box. In bounding_box_test -1 is junk and 0000 a
distractor; gt_bbox holds boxes drawn by hand, from which multiple queries are made.
"""

import re
from pathlib import Path

from data_prep.index import DISTRACTOR, JUNK, Image, Index, check_cameras
from data_prep.readers.dataset import Dataset
from data_prep.readers.generated import read_mark
from data_prep.readers.listing import list_files, refuse
from data_prep.readers.published import check_counts
from reid.common.errors import InputError

SIZE = (64, 128)
CAMERAS = range(1, 7)
COUNTS = {"bounding_box_train": 12_936, "bounding_box_test": 19_732, "query": 3_368, "gt_bbox": 25_259,
          "training identities": 751, "query identities": 750,
          "junk in bounding_box_test": 3_819, "distractors in bounding_box_test": 2_798}
_ROLES = {"bounding_box_train": "train", "bounding_box_test": "gallery", "query": "query",
          "gt_bbox": "multi_query"}
# A doubled suffix is accepted: some copies of the dataset are said to have it.
_NAME = re.compile(rf"({'|'.join(_ROLES)})/(-1|\d{{4}})_c(\d+)s\d+_\d+_\d+\.jpg(?:\.jpg)?")
_UNUSED = "gt_query/"  # good and junk lists for the authors' MATLAB code; they follow from the names


def read(root: Path) -> Index:
    """Read Market-1501, or generated people in its layout; InputError says what is off.

    Of gt_bbox only boxes of a query's identity and camera are kept (role "multi_query").
    """
    names = [name for name in list_files(root) if not name.startswith(_UNUSED)]
    found = [(name, _NAME.fullmatch(name)) for name in names]
    refuse(root, [name for name, match in found if not match],
           f"{', '.join(_ROLES)} with <identity>_c<camera>s<sequence>_<frame>_<box>.jpg")
    images = [Image(name, match[2], int(match[3]), _ROLES[match[1]]) for name, match in found]
    for image in images:
        if image.camera not in CAMERAS:
            raise InputError(f"{root / image.path}: camera {image.camera}; the dataset has cameras 1 to 6: "
                             "unpack the dataset again")
    mark = read_mark(root, "market1501", COUNTS)
    check_counts(root, _counts(images), COUNTS if mark is None else mark["counts"])
    check_cameras(root, images)
    _check_identities(root, images)
    queries = {(image.identity, image.camera) for image in images if image.role == "query"}
    used = tuple(image for image in images
                 if image.role != "multi_query" or (image.identity, image.camera) in queries)
    return Index(DATASET.name, root, used, DATASET.protocol, mark is not None)


def _counts(images: list[Image]) -> dict[str, int]:
    """Return the counts of these images that COUNTS lists."""
    of_role = {role: [image.identity for image in images if image.role == role] for role in _ROLES.values()}
    counts = {folder: len(of_role[role]) for folder, role in _ROLES.items()}
    return counts | {"training identities": len(set(of_role["train"])),
                     "query identities": len(set(of_role["query"])),
                     "junk in bounding_box_test": of_role["gallery"].count(JUNK),
                     "distractors in bounding_box_test": of_role["gallery"].count(DISTRACTOR)}


def _check_identities(root: Path, images: list[Image]) -> None:
    """A tested identity does not train, and every query has a match by another camera."""
    train = {image.identity for image in images if image.role == "train"}
    gallery = {(image.identity, image.camera) for image in images if image.role == "gallery"}
    for image in images:
        where = f"{root / image.path}: identity {image.identity}"
        if image.role in ("query", "gallery") and image.identity in train:
            raise InputError(f"{where} is in bounding_box_train too; unpack the dataset again")
        others = ((image.identity, camera) for camera in CAMERAS if camera != image.camera)
        if image.role == "query" and gallery.isdisjoint(others):
            raise InputError(f"{where} is in bounding_box_test by no other camera; unpack the dataset again")


DATASET = Dataset(name="market1501", read=read, protocol="market1501", as_distributed=True)
