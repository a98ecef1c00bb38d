"""Features of stored images from a deploy net (paper, section II: the last layer's descriptor)."""

import os
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np

BATCH = 8      # ResNet-50: 16 at a time gain 2 %, more nothing, and each image takes its memory
KEEP = 64      # batches that a kill may cost
TELL = 60.0    # seconds between two lines of progress


def extract(net, blob: str, images, indices, settings) -> np.ndarray:
    """The features, (N, D) float32 and not normalised, of the images at `indices` of an ImageStore.

    net: a caffe.Net of a deploy prototxt, with its weights; blob: the name of its feature.
    settings: test_view ("crop": the centre `crop` × `crop` of the stored image; "resize": all of it), input
    and mean.
    """
    return np.concatenate([features for _, features in _batches(net, blob, images, indices, settings)])


def extract_kept(file: Path, net, blob: str, images, indices, settings,
                 log: Callable[[str], None]) -> np.ndarray:
    """As `extract`, but what is computed is kept in `file`, and what is there already is not computed again.

    The file belongs to one net, its weights and one view of one image LMDB; who names it sees to that. A kill
    costs at most KEEP batches, damage in the file what lies behind it. log: function of a line, called about
    once a minute with how far it is and the time left.
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


def view(image: np.ndarray, settings) -> np.ndarray:
    """What the net sees of a test image, uint8 (3, H, W) BGR: (3, height, width) float32, less the mean."""
    if settings.test_view == "crop":
        top, left = ((side - settings.crop) // 2 for side in image.shape[1:])
        image = image[:, top:top + settings.crop, left:left + settings.crop]
    size = settings.input.width, settings.input.height
    pixels = cv2.resize(np.ascontiguousarray(image.transpose(1, 2, 0)), size, interpolation=cv2.INTER_LINEAR)
    return (pixels.astype(np.float32) - np.array(settings.mean, np.float32)).transpose(2, 0, 1)


def view_settings(settings) -> list:
    """The settings that `view` heeds."""
    return [settings.test_view, settings.crop, *settings.input, *settings.mean]


def _batches(net, blob, images, indices, settings) -> Iterator[tuple[list[int], np.ndarray]]:
    """Some of the indices, and their features (B, D), until all were there."""
    for start in range(0, len(indices), BATCH):
        places = list(indices[start:start + BATCH])
        views = [view(images.get(index)[0], settings) for index in places]
        net.blobs["data"].reshape(len(views), *views[0].shape)
        net.blobs["data"].data[...] = views
        net.forward()
        yield places, net.blobs[blob].data.reshape(len(views), -1).copy()


def _kind(length) -> np.dtype:
    """A row of the file: an image's place, its feature, and the CRC-32 of both."""
    return np.dtype([("place", "<u4"), ("feature", "<f4", length), ("crc", "<u4")])


def _rows(places, features) -> np.ndarray:
    """Rows as they lie in the file."""
    rows = np.empty(len(places), _kind(features.shape[1]))
    rows["place"], rows["feature"] = places, features
    rows["crc"] = _sums(rows)
    return rows


def _sums(rows) -> list[int]:
    """The CRC-32 of each row, without its last four bytes."""
    content = rows.view(np.uint8).reshape(len(rows), -1)
    return [zlib.crc32(row[:-4]) for row in content]


def _read(file, length, log) -> dict[int, np.ndarray]:
    """The features by place that a file holds; from a row on that is cut short or damaged it is cut off."""
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
