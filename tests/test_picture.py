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


def tiff(width, height):
    """The header and the only directory of a TIFF of this size."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in
                       ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (279, 9)))
    return struct.pack("<2sHIH", b"II", 42, 8, 7) + entries + b"\0" * 4


def webp(width, height, quality=50):
    """A WebP of 16×16 pixels whose header claims this size; lossless for a quality over 100."""
    content = cv2.imencode(".webp", np.zeros((16, 16, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
    content = bytearray(content.tobytes())
    if quality > 100:
        content[21:25] = struct.pack("<I", width - 1 | height - 1 << 14)
    else:
        content[26:30] = struct.pack("<HH", width, height)
    return bytes(content)


def webp_lossless(width, height):
    return webp(width, height, quality=101)


def webp_extended(width, height):
    sizes = b"".join(struct.pack("<I", size - 1)[:3] for size in (width, height))
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + sizes + webp(16, 16)[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def ppm(width, height):
    return b"P6 %d %d 255\n" % (width, height)


@pytest.mark.parametrize("make, width, height", [
    (png, 40_000, 40_000), (png, 20_000, 20_000), (png, 2 ** 31 - 1, 1), (png, 2 ** 31 - 1, 2 ** 31 - 1),
    (bmp, 40_000, 40_000), (bmp, 20_000, 20_000), (bmp, 20_000, -20_000), (bmp, 2 ** 31 - 1, -2 ** 31),
    (jpeg, 65_000, 65_000), (jpeg, 20_000, 20_000), (tiff, 20_000, 20_000), (webp, 16_000, 16_000),
    (webp_lossless, 16_000, 16_000), (webp_extended, 16_000, 16_000), (ppm, 20_000, 20_000)])
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
    assert picture.claimed((tmp_path / f"x{ending}").read_bytes()) == shape[::-1]
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
@pytest.mark.parametrize("make", [png, bmp, jpeg, tiff, webp, webp_extended, ppm])
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


def test_a_jpeg_that_its_library_calls_corrupt_is_refused(tmp_path, capfd):
    """The library fills in what it cannot read and writes a line on standard error."""
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8), (9, 9), 3)
    content = bytearray(cv2.imencode(".jpg", picture)[1].tobytes())
    start = content.index(b"\xff\xda") + 14
    content[start + 20:start + 90] = b"\x55" * 70
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(InputError, match="x.jpg: not a whole image .*Corrupt JPEG data"):
        read_picture(tmp_path / "x.jpg")
    (tmp_path / "x.png").write_bytes(png(16, 16)[:-30])
    with pytest.raises(InputError, match="x.png: not a whole image .*libpng error"):
        read_picture(tmp_path / "x.png")
    assert capfd.readouterr().err == ""


def test_other_remarks_of_a_library_are_kept_for_the_log(tmp_path, capfd):
    profile = b"iCCPx\0\0" + zlib.compress(b"no profile")
    chunk = struct.pack(">I", len(profile) - 4) + profile + struct.pack(">I", zlib.crc32(profile))
    content = cv2.imencode(".png", np.zeros((20, 10, 3), np.uint8))[1].tobytes()
    (tmp_path / "x.png").write_bytes(content[:33] + chunk + content[33:])
    picture.remarks.clear()
    assert read_picture(tmp_path / "x.png").shape == (20, 10, 3)
    assert picture.remarks and picture.remarks[0].startswith(f"{tmp_path}/x.png: libpng warning: iCCP")
    assert capfd.readouterr().err == ""


def test_a_picture_is_turned_as_its_exif_says(tmp_path):
    """6: the camera was held upright, and what is stored as the left side is the top."""
    written = np.zeros((20, 40, 3), np.uint8)
    written[:, :20] = 255
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
    content = cv2.imencode(".jpg", written)[1].tobytes()
    (tmp_path / "x.jpg").write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
                                     + content[2:])
    found = read_picture(tmp_path / "x.jpg")
    assert found.shape == (40, 20, 3) and found[:18].min() > 200 and found[22:].max() < 50
