"""The colour histogram, the simple descriptor that a trained net has to beat.

Clothing colours in horizontal stripes, as in hand-made descriptors for person re-identification since Gray
and Tao, "Viewpoint Invariant Pedestrian Recognition with an Ensemble of Localized Features", ECCV 2008.
"""

from collections.abc import Iterable

import cv2
import numpy as np

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
    bins = [np.minimum(hsv[..., c].astype(int) * BINS[c] // TOPS[c], BINS[c] - 1) for c in range(3)]
    cells = np.ravel_multi_index(bins, BINS)
    counts = [np.bincount(stripe.ravel(), minlength=np.prod(BINS)) / stripe.size
              for stripe in np.array_split(cells, STRIPES)]
    return np.sqrt(np.concatenate(counts)).astype(np.float32)


def histograms(images: ImageStore, indices: Iterable[int]) -> np.ndarray:
    """The descriptors, (N, D) float32, of the images at `indices` of an ImageStore."""
    return np.stack([histogram(image) for image, _ in images.in_order(indices)])
