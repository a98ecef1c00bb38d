"""`large`: Market-1501 and CUHK03 together, the large-scale step of the paper's stepwise training.

The raw folder holds market1501/ and cuhk03/, each in the layout of its own reader. Market-1501's 751 training
identities are in every training set; CUHK03's identities follow its own splits, validation and test included.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_prep.index import Index, Pixels
from data_prep.readers import cuhk03, market1501
from reid.common.errors import InputError

CAMERA_OFFSET = len(market1501.CAMERAS)  # CUHK03's two views follow Market-1501's six cameras


def read(root: Path, boxes: str) -> Index:
    """Read both datasets; InputError says what is off. `boxes`: CUHK03's, detected or labeled.

    Paths and identities begin with the dataset's name, so no identity of one is an identity of the other.
    """
    for name in DATASET.of:
        if not (root / name).is_dir():
            raise InputError(f"{root / name}: there is no such folder; large needs market1501/ and cuhk03/ "
                             "in --raw")
    market, cuhk = market1501.read(root / "market1501"), cuhk03.read(root / "cuhk03", boxes)
    images = [replace(image, path=f"market1501/{image.path}", identity=f"market1501/{image.identity}")
              for image in market.images if image.role == "train"]
    images += [replace(image, path=f"cuhk03/{image.path}", identity=f"cuhk03/{image.identity}",
                       camera=image.camera + CAMERA_OFFSET) for image in cuhk.images]
    test_sets = tuple(tuple(f"cuhk03/{identity}" for identity in test_set) for test_set in cuhk.test_sets)
    return Index(DATASET.name, root, tuple(images), DATASET.protocol,
                 market.generated or cuhk.generated, boxes,
                 test_sets, _Both({"market1501": market.pixels, "cuhk03": cuhk.pixels}), tested=cuhk.tested)


@dataclass(frozen=True)
class _Both:
    """The pictures of both datasets, by the first part of their paths."""
    parts: dict[str, Pixels]

    def picture(self, path: str) -> np.ndarray:
        part, _, rest = path.partition("/")
        return self.parts[part].picture(rest)

    def checksum(self, path: str) -> str:
        part, _, rest = path.partition("/")
        return self.parts[part].checksum(rest)

    def file(self, path: str) -> bytes:
        part, _, rest = path.partition("/")
        return self.parts[part].file(rest)


_PREFIX = "cuhk03/"

DATASET = replace(cuhk03.DATASET, name="large", read=read, prefix=_PREFIX, of=("market1501", "cuhk03"),
                  divided=lambda identity: cuhk03.DATASET.divided(identity.removeprefix(_PREFIX)))
