"""The colour histogram, the simple descriptor that a trained net has to beat.

Clothing colours in horizontal stripes, as in hand-made descriptors for person re-identification since Gray
and Tao, "Viewpoint Invariant Pedestrian Recognition with an Ensemble of Localized Features", ECCV 2008.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from reid.features.image_feed import ImageFeed
from reid.formats.image_lmdb import ImageStore

STRIPES = 6
BINS = (8, 8, 4)    # hue, saturation, value
TOPS = (180, 256, 256)    # one past the largest hue, saturation and value of OpenCV's 8-bit HSV


def histogram(image: np.ndarray) -> np.ndarray:
    """The descriptor, (6 · 8 · 8 · 4,) float32, of an image, uint8 (3, H, W) BGR.

    One joint HSV histogram for each of six horizontal stripes. The square root of the shares makes the
    Euclidean distance of two descriptors the Hellinger distance of their histograms.
    """
    hsv = cv2.cvtColor(np.ascontiguousarray(image.transpose(1, 2, 0)), cv2.COLOR_BGR2HSV)
    cells = sum(_PLACES[c][hsv[..., c]] for c in range(3))
    counts = [np.bincount(stripe.ravel(), minlength=np.prod(BINS)) / stripe.size
              for stripe in np.array_split(cells, STRIPES)]
    return np.sqrt(np.concatenate(counts)).astype(np.float32)


def histograms(images: ImageStore, indices: Sequence[int], workers: int = 0) -> np.ndarray:
    """The descriptors, (N, D) float32, of the images at `indices` of an ImageStore.

    workers: processes that compute them.
    """
    feed = ImageFeed(images, indices, histogram, (STRIPES * int(np.prod(BINS)),), np.float32, workers=workers)
    batch = np.empty(feed.shape, np.float32)
    return np.concatenate([batch[:len(places)].copy() for places in feed.read(lambda: batch)])


def _places(channel: int) -> np.ndarray:
    """What each value of a channel of OpenCV's HSV adds to the place of its bin, (256,)."""
    bins = np.minimum(np.arange(256) * BINS[channel] // TOPS[channel], BINS[channel] - 1)
    return bins * int(np.prod(BINS[channel + 1:]))


_PLACES = [_places(channel) for channel in range(3)]
