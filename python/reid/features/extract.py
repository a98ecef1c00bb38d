"""Features of stored images from a deploy net (paper, section II: the last layer's descriptor)."""

import functools
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from reid.features.image_feed import BATCH, ImageFeed
from reid.formats.image_lmdb import ImageStore

if TYPE_CHECKING:    # only the names of their types are needed here
    import caffe

    from reid.engine.settings import Settings

KEEP = 64      # batches between two syncs to the disk: the most that a kill can cost
TELL = 60.0    # seconds between two lines of progress


def extract(net: "caffe.Net", blob: str, images: ImageStore, indices: Sequence[int],
            settings: "Settings") -> np.ndarray:
    """The features, (N, D) float32 and not normalised, of the images at `indices` of an ImageStore.

    net: a caffe.Net of a deploy prototxt, with its weights; blob: the name of its feature.
    settings: test_view ("crop": the centre `crop` × `crop` of the stored image; "resize": all of it), input,
    mean and workers.
    """
    return np.concatenate([features for _, features in _batches(net, blob, images, indices, settings)])


def extract_kept(file: Path, net: "caffe.Net", blob: str, images: ImageStore, indices: Sequence[int],
                 settings: "Settings", log: Callable[[str], None]) -> np.ndarray:
    """As `extract`, but stores features in `file`, and does not recompute those that it holds already.

    The caller chooses a file that belongs to this net, its weights, this view and this image LMDB alone. A
    kill costs at most KEEP batches; damage in the file, all rows behind it. log: takes a line about once a
    minute, with the progress and the time left.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    done = _read(file, int(np.prod(net.blobs[blob].shape[1:])), log)
    missing = sorted(set(indices) - done.keys())      # in the order in which they lie on the disk
    if missing and len(missing) < len(set(indices)):
        log(f"features of {len(set(indices)) - len(missing)} images are in {file}")
    began = told = time.monotonic()
    with open(file, "ab") as stream:
        for number, (places, features) in enumerate(_batches(net, blob, images, missing, settings), 1):
            stream.write(_rows(places, features).tobytes())
            if number % KEEP == 0:
                stream.flush()
                os.fsync(stream.fileno())
            done |= zip(places, features)
            now, count = time.monotonic(), min(number * BATCH, len(missing))
            if now - told > TELL:
                told = now
                left = timedelta(seconds=round((now - began) * (len(missing) - count) / count))
                log(f"features of {count}/{len(missing)} images  {count / (now - began):.0f} images/s  "
                    f"{left} left")
    return np.stack([done[index] for index in indices])


def view(image: np.ndarray, settings: "Settings") -> np.ndarray:
    """What the net sees of a test image, before the mean is subtracted: (3, height, width), of its dtype.

    image: uint8 (3, H, W) BGR.
    """
    if settings.test_view == "crop":
        top, left = ((side - settings.crop) // 2 for side in image.shape[1:])
        image = image[:, top:top + settings.crop, left:left + settings.crop]
    size = settings.input.width, settings.input.height
    return cv2.resize(np.ascontiguousarray(image.transpose(1, 2, 0)), size,
                      interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)


def view_settings(settings: "Settings") -> list[str | float]:
    """The settings that `view` depends on."""
    return [settings.test_view, settings.crop, *settings.input, *settings.mean]


def _batches(net: "caffe.Net", blob: str, images: ImageStore, indices: Sequence[int],
             settings: "Settings") -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield the indices in batches, each with its features (B, D)."""
    feed = ImageFeed(images, indices, functools.partial(view, settings=settings),
                     (3, settings.input.height, settings.input.width), np.uint8, settings.mean,
                     settings.workers)
    net.blobs["data"].reshape(*feed.shape)
    for places in feed.read(lambda: net.blobs["data"].data):
        net.forward()
        yield places, net.blobs[blob].data[:len(places)].reshape(len(places), -1).copy()


def _kind(length: int) -> np.dtype:
    """A row of the file: an image's place, its feature, and the CRC-32 of both."""
    return np.dtype([("place", "<u4"), ("feature", "<f4", length), ("crc", "<u4")])


def _rows(places: Sequence[int], features: np.ndarray) -> np.ndarray:
    """The rows of the file for some images, from their places in the image LMDB and their features."""
    rows = np.empty(len(places), _kind(features.shape[1]))
    rows["place"], rows["feature"] = places, features
    rows["crc"] = _sums(rows)
    return rows


def _sums(rows: np.ndarray) -> list[int]:
    """The CRC-32 of each row, without its last four bytes."""
    content = rows.view(np.uint8).reshape(len(rows), rows.itemsize)
    return [zlib.crc32(row[:-4]) for row in content]


def _read(file: Path, length: int, log: Callable[[str], None]) -> dict[int, np.ndarray]:
    """The features in a file, by the images' places. The file is cut before the first damaged row."""
    if not file.exists():
        return {}
    rows = np.fromfile(file, _kind(length))
    damaged = np.flatnonzero(rows["crc"] != _sums(rows))
    if len(damaged):
        log(f"{file}: damaged, or of an older version, from row {damaged[0]} of {len(rows)} on; the rest is "
            "computed again")
        rows = rows[:damaged[0]]
    os.truncate(file, rows.nbytes)
    return dict(zip(rows["place"].tolist(), rows["feature"]))
