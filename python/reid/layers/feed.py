"""The feed of image pairs, without Caffe: which crops make up a batch (paper, III-C.3), and their pixels."""
import functools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from reid.common import rng
from reid.common.errors import InputError
from reid.formats.image_lmdb import ImageStore
from reid.formats.pair_lmdb import PairStore
from reid.layers.source import Source


class PairFeed:
    """Batch k is the pairs [k·N, (k + 1)·N) of all epochs joined end to end, which repeat after the last.

    Where `order` is set (before the first batch is read), batch k is the batch of number order[k] instead;
    the order repeats as well.

    The content of a batch is a function of the two LMDBs, the settings and k alone: neither the number of
    workers nor the order in which batches are read nor a resume changes a byte.
    """

    def __init__(self, settings: Source) -> None:
        """Open and check both LMDBs; InputError says which one does not fit."""
        self.settings = settings
        self.shape, self.dtype = (2 * settings.batch, 3, settings.height, settings.width), np.uint8
        self.mean, self.workers = settings.mean, settings.workers
        self.images = ImageStore(Path(settings.images))
        self.pairs = PairStore(Path(settings.pairs))
        self.room = self.images.get(0)[0].shape[-1] - settings.crop  # a window's corner is in [0, room]
        self.order = None
        self.epoch = functools.lru_cache(maxsize=2)(self._epoch)
        self._check()

    def labels(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Class of a, class of b, and 0 = same or 1 = different: int (N,) each; −1: left out of the loss."""
        pairs, _ = self.rows(k)
        return self.pairs.labels[pairs["a"]], self.pairs.labels[pairs["b"]], pairs["same"]

    def fill(self, k: int, crops: np.ndarray) -> None:
        """Write the pixels of batch k into `crops`, uint8 (2N, 3, height, width) BGR: all a's, all b's."""
        pairs, corners = self.rows(k)
        for side, name in enumerate("ab"):
            # A window of the translated and mirrored image is a window of the stored image, mirrored.
            top, left = corners[:, side].T
            flip = pairs[f"{name}_flip"] != 0
            tops = top - pairs[f"{name}_dy"]
            lefts = np.where(flip, self.room - left, left) - pairs[f"{name}_dx"]
            stack = crops[side * len(pairs) : (side + 1) * len(pairs)]
            for image, *window, out in zip(pairs[name].tolist(), tops.tolist(), lefts.tolist(), flip, stack):
                self._crop(self.images.get(image)[0], window, out)

    def rows(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of batch k, a PAIR array (N,), and the corners of their windows.

        Corners are int (N, 2, 2): for images a and b of each pair, row and column of the window's upper left
        corner in the image as translated and mirrored.
        """
        batch = self.settings.batch
        if self.order:
            k = self.order[k % len(self.order)]
        places = np.arange(k * batch, (k + 1) * batch) % self.pairs.total
        epochs = np.searchsorted(self.pairs.offsets, places, side="right") - 1
        pairs = np.empty(batch, self.epoch(int(epochs[0]))[0].dtype)
        corners = np.empty((batch, 2, 2), np.int64)
        for e in np.unique(epochs):
            here = epochs == e
            inside = places[here] - self.pairs.offsets[e]
            epoch_pairs, epoch_corners = self.epoch(int(e))
            pairs[here], corners[here] = epoch_pairs[inside], epoch_corners[inside]
        return pairs, corners

    def _epoch(self, e: int) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of one epoch and their windows' corners."""
        pairs = self.pairs.epoch(e).copy()  # a view ends with its LMDB handle; a worker opens its own
        if self.settings.phase == "test" or self.pairs.meta.fixed_windows:
            return pairs, np.full((len(pairs), 2, 2), self.room // 2)
        draw = rng.generator(self.settings.seed, "crop", e)
        return pairs, draw.integers(0, self.room + 1, (len(pairs), 2, 2))

    def _crop(self, image: np.ndarray, window: Sequence[int], out: np.ndarray) -> None:
        crop = self.settings.crop
        if out.shape[1:] == (crop, crop):
            cut_window(image, *window, out)
            return
        whole = np.empty((3, crop, crop), np.uint8)
        cut_window(image, *window, whole)
        for plane, resized in zip(whole, out):
            cv2.resize(plane, resized.shape[::-1], dst=resized, interpolation=cv2.INTER_LINEAR)

    def _check(self) -> None:
        pairs, images, settings = self.pairs, self.images, self.settings
        if pairs.meta.images != len(images):
            raise InputError(f"{pairs.path} pairs {pairs.meta.images} images, but {images.path} holds "
                             f"{len(images)}: both must come from one preparation")
        if pairs.total == 0:
            raise InputError(f"{pairs.path} holds no pairs")
        if self.room < 0:
            side = self.room + settings.crop
            raise InputError(f"PairData: crop is {settings.crop}, but images are stored at {side}×{side}")
        for e in range(len(pairs.offsets) - 1):
            self._check_epoch(e)

    def _check_epoch(self, e: int) -> None:
        """Caffe does not check indices and labels, so none that is out of range may reach it."""
        phase, store, pairs = self.settings.phase, self.pairs, self.pairs.epoch(e)
        shown = np.concatenate([pairs["a"], pairs["b"]])
        if shown.max() >= len(self.images):
            raise InputError(f"{store.path}: epoch {e} names image {shown.max()} of {len(self.images)}")
        least = 0 if phase == "train" else -1  # only the test net passes over what is marked −1
        judged = ("class", store.labels[shown], store.meta.classes), ("same", pairs["same"], 2)
        for what, values, classes in judged:
            if values.min() < least or values.max() >= classes:
                raise InputError(f"{store.path}: epoch {e} has {what} {values.min()} to {values.max()}, "
                                 f"but a {phase} net takes {least} to {classes - 1}")


def cut_window(image: np.ndarray, top: int, left: int, flip: bool, out: np.ndarray) -> None:
    """Copy the window of `image` (3, H, W) with its corner at (`top`, `left`) into `out` (3, S, S).

    The window must overlap the image; where it reaches outside, the image's border is repeated. `flip`
    mirrors the result, left to right. Both arrays are uint8, and `out` is contiguous.
    """
    size = out.shape[-1]
    _, height, width = image.shape
    y0, y1 = max(-top, 0), min(height - top, size)
    x0, x1 = max(-left, 0), min(width - left, size)
    out[:, y0:y1, x0:x1] = image[:, top + y0 : top + y1, left + x0 : left + x1]
    out[:, :y0, x0:x1] = out[:, y0 : y0 + 1, x0:x1]
    out[:, y1:, x0:x1] = out[:, y1 - 1 : y1, x0:x1]
    out[:, :, :x0] = out[:, :, x0 : x0 + 1]
    out[:, :, x1:] = out[:, :, x1 - 1 : x1]
    if flip and size % 8:
        out[...] = out[:, :, ::-1].copy()
    elif flip:    # eight pixels at a time: three times as fast as one by one, or as cv2.flip
        words = out.view(np.uint64)
        words[...] = words[:, :, ::-1].byteswap()
