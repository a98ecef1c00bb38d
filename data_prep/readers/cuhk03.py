"""CUHK03: 1,467 identities, each seen by one of five camera pairs, about five times by either camera.

Reference: Li, Zhao, Xiao, Wang, "DeepReID: Deep Filter Pairing Neural Network for Person Re-identification",
CVPR 2014. From: http://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html (archive MD5
728939e58ad9f0ff53e521857dd8fb43). Layouts: cuhk-03.mat (see `mat`), or one of two extracted forms in
detected/ and labeled/ (images_detected/ and images_labeled/): 1_001_1_01.png, camera pair, identity in the
pair, view, image 01 to 10; or 0000_00.jpg, identity 0000 to 1466 through all pairs, image 00 to 09. The first
five images are of the one view, the others of the second. `detected`: boxes of a detector; `labeled`: drawn
by hand.
"""

import re
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np

from data_prep.index import Image, Index
from data_prep.readers.dataset import Dataset
from data_prep.readers.generated import read_mark
from data_prep.readers.listing import list_files, refuse
from data_prep.readers.mat import Mat
from data_prep.readers.published import check_counts
from data_prep.splits.draw import Rule
from reid.common.errors import InputError

BOXES = ("detected", "labeled")
PAIRS_SPLIT = 3  # the splits are of the identities of the first three camera pairs: 1,360
TEST_SETS = 20
COUNTS = {"pairs": [843, 440, 77, 58, 49], "detected": 14_097, "labeled": 14_096}
IDENTITIES = tuple(f"{pair}_{number:03d}" for pair, identities in enumerate(COUNTS["pairs"][:PAIRS_SPLIT], 1)
                   for number in range(1, identities + 1))
_MAT = "cuhk-03.mat"
_LONG = re.compile(r"([1-5])_(\d{3})_([12])_(\d\d)\.(?:png|jpg)")
_SHORT = re.compile(r"(\d{4})_0(\d)\.(?:jpg|png)")


def read(root: Path, boxes: str) -> Index:
    """Read CUHK03, or generated people in its layouts; InputError says what is off.

    `root`: the .mat, or a folder that holds it or extracted images; `boxes`: one of BOXES. Identities are
    called as in 1_001, camera pair and number; camera 1 is the first view of a pair and camera 2 the second.
    """
    mat = root if root.suffix == ".mat" else root / _MAT
    mark = read_mark(mat.parent, "cuhk03", COUNTS)
    counts = COUNTS if mark is None else mark["counts"]
    if mat == root or mat.is_file():
        index = _from_mat(Mat(mat), boxes, mark is not None)
    else:
        index = _from_files(root, boxes, counts["pairs"], mark)
    _check_counts(index, boxes, counts)
    return index


@dataclass(frozen=True)
class _Cells:
    """The pictures of a .mat, under the names that they have in the first of the extracted forms."""
    mat: Mat
    boxes: str

    def picture(self, path: str) -> np.ndarray:
        return self.mat.picture(self.boxes, *_long(path))

    def checksum(self, path: str) -> str:
        return self.mat.checksum(self.boxes, *_long(path))

    def file(self, path: str) -> bytes:
        return cv2.imencode(".png", np.ascontiguousarray(self.picture(path)))[1].tobytes()


def _from_mat(mat: Mat, boxes: str, generated: bool) -> Index:
    names = {address: "{0}_{1:03d}_{2}_{3:02d}.png".format(*address[:2], _view(address[2]), address[2])
             for address in mat.images(boxes)}
    images = tuple(_image(name, *address) for address, name in names.items())
    known = {image.identity for image in images}
    test_sets = tuple(tuple(f"{pair}_{number:03d}" for pair, number in test_set)
                      for test_set in mat.test_sets())
    check_counts(mat.path, {"test sets": len(test_sets)}, {"test sets": TEST_SETS})
    for number, test_set in enumerate(test_sets, 1):
        strange = sorted(set(test_set) - known)
        if strange:
            raise InputError(f"{mat.path}: testsets{{{number}}} names identity {strange[0]}, who is not in "
                             "the dataset; unpack the dataset again")
    return Index(DATASET.name, mat.path.parent, images, DATASET.protocol, generated, boxes, test_sets,
                 _Cells(mat, boxes))


def _from_files(root: Path, boxes: str, identities: list[int], mark: dict | None) -> Index:
    folder = next((root / name for name in (boxes, f"images_{boxes}") if (root / name).is_dir()), root)
    ends = list(accumulate(identities))
    found = [(name, _long(name) or _short(name, ends)) for name in list_files(folder)]
    refuse(folder, [name for name, address in found if not address],
           f"{_MAT}, or <pair>_<identity>_<view>_<image>.png, or <identity>_<image>.jpg, in {boxes}/ or "
           f"images_{boxes}/")
    images = tuple(_image(name, *address) for name, address in found)
    return Index(DATASET.name, folder, images, DATASET.protocol, mark is not None, boxes,
                 tested=mark and mark["tested"])


def _image(name: str, pair: int, number: int, place: int) -> Image:
    return Image(name, f"{pair}_{number:03d}", _view(place))


def _view(place: int) -> int:
    return 1 if place <= 5 else 2


def _long(name: str) -> tuple[int, int, int] | None:
    """Return (camera pair, identity, place) of 1_001_1_01.png, None where the name is no such."""
    match = _LONG.fullmatch(name)
    pair, number, view, place = map(int, match.groups()) if match else (0, 0, 0, 0)
    return (pair, number, place) if 1 <= place <= 10 and view == _view(place) else None


def _short(name: str, ends: list[int]) -> tuple[int, int, int] | None:
    """Return (camera pair, identity, place) of 0000_00.jpg; `ends`: identities up to each pair's last."""
    match = _SHORT.fullmatch(name)
    if not match or int(match[1]) >= ends[-1]:
        return None
    number = int(match[1])
    pair = next(pair for pair, end in enumerate(ends) if number < end)
    return pair + 1, number - ([0] + ends)[pair] + 1, int(match[2]) + 1


def _check_counts(index: Index, boxes: str, counts: dict) -> None:
    found = {f"{boxes} images": len(index.images)}
    expected = {f"{boxes} images": counts[boxes]}
    for pair, identities in enumerate(counts["pairs"], 1):
        name = f"identities of camera pair {pair}"
        found[name] = len({image.identity for image in index.images if image.identity.startswith(f"{pair}_")})
        expected[name] = identities
    check_counts(index.root, found, expected)


def _divided(identity: str) -> bool:
    return int(identity[0]) <= PAIRS_SPLIT


DATASET = Dataset(name="cuhk03", read=read, variants=BOXES, variants_are="boxes by a detector or by hand",
                  rules={None: Rule(1360, 100, 100, TEST_SETS, name="cuhk03")}, identities=IDENTITIES,
                  divided=_divided, first_only=True, as_distributed=True)
