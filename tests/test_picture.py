"""Image files: what their header claims is looked at before anything is decoded."""

import struct
import time
import zlib

import cv2
import numpy as np
import pytest

from reid.common.errors import InputError
from reid.formats import picture
from reid.formats.picture import LARGEST, read_picture


def png(width, height):
    """A small PNG that claims to be of this size."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    parts = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
             for part in (head, data, b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bmp(width, height):
    """A small BMP that claims to be of this size; a negative height: the first row is the top one."""
    head = struct.pack("<IHHIIiiHHIIiiII", 1054, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + head + b"\0" * 1000


def jpeg(width, height):
    """A JPEG of 16×16 pixels whose header claims this size."""
    content = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    place = content.index(b"\xff\xc0") + 5
    content[place:place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


@pytest.mark.parametrize("make, width, height", [
    (png, 40_000, 40_000), (png, 20_000, 20_000), (png, 2 ** 31 - 1, 1), (png, 2 ** 31 - 1, 2 ** 31 - 1),
    (bmp, 40_000, 40_000), (bmp, 20_000, 20_000), (bmp, 20_000, -20_000), (bmp, 2 ** 31 - 1, -2 ** 31),
    (jpeg, 65_000, 65_000), (jpeg, 20_000, 20_000)])
def test_a_header_that_claims_too_much_is_refused_before_decoding(tmp_path, monkeypatch, make, width, height):
    file = tmp_path / "x.img"
    file.write_bytes(make(width, height))
    monkeypatch.setattr(picture.cv2, "imdecode", None)
    began = time.monotonic()
    with pytest.raises(InputError, match=f"{file}: .*{abs(width)}×{abs(height)} pixels.*{LARGEST:,}"):
        read_picture(file)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("ending", [".png", ".bmp", ".jpg", ".tiff", ".webp", ".ppm"])
@pytest.mark.parametrize("shape", [(1, 1), (128, 64), (300, 700)])
def test_what_is_smaller_is_read_as_before(tmp_path, ending, shape):
    written = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    cv2.imwrite(str(tmp_path / f"x{ending}"), written)
    found = read_picture(tmp_path / f"x{ending}")
    np.testing.assert_array_equal(found, cv2.imread(str(tmp_path / f"x{ending}")))


def test_a_header_in_any_form_of_jpeg_is_read(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]):
        content = cv2.imencode(".jpg", image, options)[1].tobytes()
        assert picture.claimed(content) == (30, 40)
        # with a thumbnail in its EXIF part, which has a header of its own
        thumbnail = cv2.imencode(".jpg", image[:8, :8])[1].tobytes()
        part = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
        assert picture.claimed(content[:2] + part + content[2:]) == (30, 40)


@pytest.mark.parametrize("length", [0, 1, 3, 10, 20, 25, 40])
@pytest.mark.parametrize("make", [png, bmp, jpeg])
def test_a_header_that_is_cut_short_is_one_sentence(tmp_path, make, length):
    (tmp_path / "x").write_bytes(make(16, 16)[:length])
    with pytest.raises(InputError, match=f"{tmp_path}/x: not a whole image"):
        read_picture(tmp_path / "x")


def test_what_opencv_itself_refuses_is_one_sentence(tmp_path, monkeypatch):
    def fail(*_):
        raise cv2.error("pixels <= CV_IO_MAX_IMAGE_PIXELS")
    (tmp_path / "x").write_bytes(png(16, 16))
    monkeypatch.setattr(picture.cv2, "imdecode", fail)
    with pytest.raises(InputError, match=f"{tmp_path}/x: not a whole image"):
        read_picture(tmp_path / "x")
