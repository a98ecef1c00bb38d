"""Reading one image file, with every way it can be broken turned into an error that names it."""

from pathlib import Path

import cv2
import numpy as np

from reid.common.errors import InputError

_JPEG, _START_OF_SCAN, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def read_picture(path: Path) -> np.ndarray:
    """Return an image file as uint8 (H, W, 3) BGR.

    Raises InputError where the file is missing, is no image that OpenCV reads, or was cut short.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); restore it from the dataset") from error
    # OpenCV fills the rest of a truncated JPEG with grey and says nothing. Neither marker can occur inside
    # the compressed data, so a whole file has its last end-of-image after its last start-of-scan.
    cut_short = data.startswith(_JPEG) and data.rfind(_END_OF_IMAGE) < data.rfind(_START_OF_SCAN)
    picture = None if cut_short or not data else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path}: not a whole image ({len(data)} bytes); restore it from the dataset")
    return picture
