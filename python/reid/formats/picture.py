"""Reading one image file, with every way it can be broken turned into an error that names it."""

import struct
from pathlib import Path

import cv2
import numpy as np

from reid.common.errors import InputError

LARGEST = 2 ** 26    # pixels; decoded they take 200 MB
_PNG, _BMP = b"\x89PNG\r\n\x1a\n", b"BM"
_JPEG, _START_OF_SCAN, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_FRAMES = {*range(0xc0, 0xd0)} - {0xc4, 0xc8, 0xcc}    # JPEG's markers of a frame, which holds the size


def read_picture(path: Path) -> np.ndarray:
    """Return an image file as uint8 (H, W, 3) BGR.

    Raises InputError where the file is missing, is no image that OpenCV reads, was cut short, or is a PNG,
    BMP or JPEG of more than LARGEST pixels.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); restore it from the dataset") from error
    width, height = claimed(data) or (0, 0)
    if width * height > LARGEST:
        raise InputError(f"{path}: {width}×{height} pixels, more than {LARGEST:,}; make it smaller, or leave "
                         "it out")
    # OpenCV fills the rest of a truncated JPEG with grey and says nothing. Neither marker can occur inside
    # the compressed data, so a whole file has its last end-of-image after its last start-of-scan.
    cut_short = data.startswith(_JPEG) and data.rfind(_END_OF_IMAGE) < data.rfind(_START_OF_SCAN)
    content = np.frombuffer(data, np.uint8)
    try:
        picture = None if cut_short or not data else cv2.imdecode(content, cv2.IMREAD_COLOR)
    except cv2.error:    # its own limit on size
        picture = None
    if picture is None:
        raise InputError(f"{path}: not a whole image ({len(data)} bytes); restore it from the dataset")
    return picture


def claimed(data: bytes) -> tuple[int, int] | None:
    """The width and height that the header of a PNG, BMP or JPEG claims; None for others and cut ones."""
    try:
        if data.startswith(_PNG):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(_BMP):
            old = struct.unpack_from("<I", data, 14) == (12,)    # OS/2's header
            width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
            return abs(width), abs(height)    # a negative height: the first row is the top one
        return _frame(data) if data.startswith(_JPEG) else None
    except struct.error:
        return None


def _frame(data: bytes) -> tuple[int, int] | None:
    """The width and height in a JPEG's frame header, found segment by segment: a thumbnail has one too."""
    place = len(_JPEG)
    while place < len(data) and data[place] == 0xff:
        marker, length = struct.unpack_from(">xBH", data, place)
        if marker == 0xff:    # a byte that fills up
            place += 1
        elif marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        else:
            place += 2 + length
    return None
