"""CUHK01: 971 identities, each seen twice by two cameras.

Reference: Li, Zhao, Wang, "Human Reidentification with Transferred Metric Learning", ACCV 2012. From:
http://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html (archive MD5 e6d55c0da26d80cda210a2edeb448e98).
Layout: campus/PPPPIII.png, identity 0001 to 0971, image 001 to 004: 001 and 002 by the first camera, 003 and
004 by the second; 3,884 images of 60×160 pixels. Fifteen pairs of images are the same picture in the
original, two of them under two identities.
"""

import re
from pathlib import Path

from data_prep.index import Image, Index
from data_prep.readers.dataset import Dataset
from data_prep.readers.generated import read_mark
from data_prep.readers.listing import list_files, refuse
from data_prep.readers.published import check_names, check_sizes
from data_prep.splits.draw import Rule

SIZE = (60, 160)
IDENTITIES = tuple(f"{number:04d}" for number in range(1, 972))
_CAMERAS = {"001": 1, "002": 1, "003": 2, "004": 2}
_NAME = re.compile(r"campus/(\d{4})(\d{3})\.png")


def read(root: Path, variant: str) -> Index:
    """Read CUHK01, or generated people in its layout; InputError says what is off.

    `variant`: p100 or p486, how many identities its splits test.
    """
    found = [(name, _NAME.fullmatch(name)) for name in list_files(root)]
    refuse(root, [name for name, match in found if not match or match[2] not in _CAMERAS],
           "campus/<identity><image>.png, four digits and 001 to 004")
    mark = read_mark(root, "cuhk01")
    identities = IDENTITIES if mark is None else [f"{1 + number:04d}" for number in range(mark["identities"])]
    check_names(root, "images", {name for name, _ in found},
                {f"campus/{identity}{image}.png" for identity in identities for image in _CAMERAS})
    images = tuple(Image(name, match[1], _CAMERAS[match[2]]) for name, match in found)
    check_sizes(root, images, SIZE)
    return Index(DATASET.name, root, images, DATASET.protocol, mark is not None, variant,
                 tested=mark and mark["tested"])


DATASET = Dataset(name="cuhk01", read=read, variants=("p100", "p486"),
                  variants_are="how many people are tested",
                  rules={"p100": Rule(971, 100, name="cuhk01-p100"),
                         "p486": Rule(971, 486, name="cuhk01-p486")},
                  identities=IDENTITIES, as_distributed=True)
