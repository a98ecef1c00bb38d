"""Draw docs/people.jpg: generated people in the pairs that a net is trained on."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from data_prep.people.write import write
from data_prep.prepare import prepare
from reid.common.errors import Parser, command_line
from reid.common.files import write_whole
from reid.formats.image_lmdb import ImageStore
from reid.formats.pair_lmdb import DIFFERENT, SAME, PairStore
from tools.generated import ROOT

PICTURE = ROOT / "docs/people.jpg"
IDENTITIES, SEED, EACH = 40, 3, 4    # people that are drawn; pairs of each kind that are shown
SIZE = 96, 192                       # of a picture, pixels
GAP, HEAD = 16, 30


@command_line
def main() -> int:
    parser = Parser(description=__doc__)
    parser.parse_args()
    write_whole(PICTURE, cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    print(f"written: {PICTURE.relative_to(ROOT)}")
    return 0


def picture() -> np.ndarray:
    """The picture, uint8 (H, W, 3) BGR: above the first same pairs of an epoch, below different ones."""
    with tempfile.TemporaryDirectory() as folder:
        raw, data = Path(folder) / "raw", Path(folder) / "data"
        write(raw, "viper", IDENTITIES, SEED)
        prepare("viper", raw, data, splits=[0], epochs=1)
        images, pairs = ImageStore(data / "images"), PairStore(data / "split00/train").epoch(0)
        rows = [_row(images, pairs, kind, name)
                for kind, name in ((SAME, "same person"), (DIFFERENT, "different people"))]
    return np.vstack(rows)


def _row(images: ImageStore, pairs: np.ndarray, kind: int, name: str) -> np.ndarray:
    """A row of pairs of one kind, each of other people."""
    shown, seen = [], set()
    for pair in pairs[pairs["same"] == kind]:
        people = {images.get(int(pair[side]))[1] for side in "ab"}
        if not people & seen:
            seen |= people
            shown.append(np.hstack([_stored(images, int(pair[side])) for side in "ab"]))
    gap = np.full((SIZE[1], GAP, 3), 255, np.uint8)
    row = np.hstack([part for pair in shown[:EACH] for part in (gap, pair)] + [gap])
    head = np.full((HEAD, row.shape[1], 3), 255, np.uint8)
    cv2.putText(head, name, (GAP, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([head, row])


def _stored(images: ImageStore, place: int) -> np.ndarray:
    """An image of the index, in the form of a standing person."""
    return cv2.resize(images.get(place)[0].transpose(1, 2, 0), SIZE, interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    sys.exit(main())
