"""Reading one image file; whatever is wrong with it becomes an InputError that names the file."""

import contextlib
import io
import os
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from reid.common.errors import InputError
from reid.common.files import read_bytes

LARGEST = 2 ** 26    # pixels; decoded they take 200 MB
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "PPM")    # and WebP, for which Pillow would decode
Image.MAX_IMAGE_PIXELS = None    # Pillow's own limit, which does not say the size
_JPEG, _START_OF_SCAN, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
# What libjpeg warns of where the compressed data are not what an encoder writes; it fills in something.
_CORRUPT = re.compile("Corrupt JPEG data.*|Premature end of JPEG.*|Inconsistent progression.*|Invalid SOS.*")

remarks: list[str] = []
"""Other things that the libraries said of pictures ("PATH: libpng warning: …"), for whoever keeps a log."""


def read_picture(path: Path) -> np.ndarray:
    """Return an image file as uint8 (H, W, 3) BGR, turned as its EXIF orientation says.

    Raises InputError where the file is missing, is neither of FORMATS nor a WebP, was cut short, has more
    than LARGEST pixels, or is a JPEG that libjpeg calls corrupt.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); restore it from the dataset") from error
    with _heard() as lines:
        width, height = claimed(data) or (0, 0)
        picture = decoded(data) if 0 < width * height <= LARGEST else None
    if width * height > LARGEST:
        raise InputError(f"{path}: {width}×{height} pixels, more than {LARGEST:,}; make it smaller, or leave "
                         "it out")
    corrupt = next(filter(_CORRUPT.match, lines), None) if data.startswith(_JPEG) else None
    if picture is None or corrupt:
        said = [line for line in lines if not line.startswith("[")]    # OpenCV's own name its source files
        why = corrupt or "; ".join([f"{len(data)} bytes", *said[-1:]])
        raise InputError(f"{path}: not a whole image ({why}); restore it from the dataset")
    remarks.extend(f"{path}: {line}" for line in lines)
    return picture


def claimed(data: bytes) -> tuple[int, int] | None:
    """The width and height that a header claims; None where it is of no format that is read, or cut short."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.size
    except Exception:    # what Pillow raises at a damaged header is of a dozen kinds
        return None


def _webp(data: bytes) -> tuple[int, int] | None:
    """The width and height in the header of a WebP: lossy, lossless or extended."""
    if len(data) < 30:
        return None
    if data[12:16] == b"VP8 ":
        return tuple(size & 0x3fff for size in struct.unpack_from("<HH", data, 26))
    if data[12:16] == b"VP8L":
        sizes = int.from_bytes(data[21:25], "little")
        return (sizes & 0x3fff) + 1, (sizes >> 14 & 0x3fff) + 1
    return tuple(int.from_bytes(data[place:place + 3], "little") + 1 for place in (24, 27))


def decoded(data: bytes) -> np.ndarray | None:
    """The picture in the bytes of a file; None where it is not whole."""
    # OpenCV fills the rest of a truncated JPEG with grey and says nothing. Neither marker can occur inside
    # the compressed data, so a whole file has its last end-of-image after its last start-of-scan.
    if data.startswith(_JPEG) and data.rfind(_END_OF_IMAGE) < data.rfind(_START_OF_SCAN):
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:    # its own limit on size
        return None


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """Yield a list that holds, after the block, the lines that C libraries wrote to standard error in it."""
    lines: list[str] = []
    try:
        kept, heard = os.dup(2), os.memfd_create("stderr")
    except OSError:    # it is closed, and nothing is heard
        yield lines
        return
    os.dup2(heard, 2)
    try:
        yield lines
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        with open(heard, "rb") as stream:
            stream.seek(0)
            lines += filter(None, map(str.strip, stream.read().decode(errors="replace").splitlines()))
