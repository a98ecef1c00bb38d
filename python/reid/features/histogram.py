"""The colour histogram, the simple descriptor that a trained net has to beat.

Clothing colours in horizontal stripes, as in hand-made descriptors for person re-identification since Gray
and Tao, "Viewpoint Invariant Pedestrian Recognition with an Ensemble of Localized Features", ECCV 2008.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from reid.features.image_feed import ImageFeed
from reid.formats.image_lmdb import ImageStore

STRIPES = 6
BINS = (8, 8, 4)    # hue, saturation, value
RANGES = (0, 180, 0, 256, 0, 256)    # of hue, saturation and value in OpenCV's 8-bit HSV, ends excluded


def histogram(image: np.ndarray) -> np.ndarray:
    """The descriptor, (6 · 8 · 8 · 4,) float32, of an image, uint8 (3, H, W) BGR.

    One joint HSV histogram for each of six horizontal stripes. The square root of the shares makes the
    Euclidean distance of two descriptors the Hellinger distance of their histograms.
    """
    hsv = cv2.cvtColor(np.ascontiguousarray(image.transpose(1, 2, 0)), cv2.COLOR_BGR2HSV)
    counts = [cv2.calcHist([stripe], [0, 1, 2], None, BINS, RANGES).ravel()
              for stripe in np.array_split(hsv, STRIPES)]
    shares = [count.astype(np.float64) / count.sum() for count in counts]
    return np.sqrt(np.concatenate(shares)).astype(np.float32)


def histograms(images: ImageStore, indices: Sequence[int], workers: int = 0) -> np.ndarray:
    """The descriptors, (N, D) float32, of the images at `indices` of an ImageStore.

    workers: processes that compute them.
    """
    feed = ImageFeed(images, indices, histogram, (STRIPES * math.prod(BINS),), np.float32, workers=workers)
    batch = np.empty(feed.shape, np.float32)
    return np.concatenate([batch[:len(places)].copy() for places in feed.read(lambda: batch)])
