"""Features of stored images from a deploy net (paper, section II: the last layer's descriptor)."""

import cv2
import numpy as np
from tqdm import tqdm

from reid.nets.prototxt import DEPLOY_BATCH


def extract(net, blob, images, indices, settings):
    """The features, (N, D) float32 and not normalised, of the images at `indices` of an ImageStore.

    net: a caffe.Net of a deploy prototxt, with its weights; blob: the name of its feature.
    settings: test_view ("crop": the centre `crop` × `crop` of the stored image; "resize": all of it), input
    and mean.
    """
    features = []
    for start in tqdm(range(0, len(indices), DEPLOY_BATCH), "features", unit="batch", leave=False,
                      disable=None):
        views = [view(images.get(index)[0], settings) for index in indices[start:start + DEPLOY_BATCH]]
        net.blobs["data"].reshape(len(views), *views[0].shape)
        net.blobs["data"].data[...] = views
        net.forward()
        features.append(net.blobs[blob].data.reshape(len(views), -1).copy())
    return np.concatenate(features)


def view(image, settings):
    """What the net sees of a test image, uint8 (3, H, W) BGR: (3, height, width) float32, less the mean."""
    if settings.test_view == "crop":
        top, left = ((side - settings.crop) // 2 for side in image.shape[1:])
        image = image[:, top:top + settings.crop, left:left + settings.crop]
    size = settings.input.width, settings.input.height
    pixels = cv2.resize(np.ascontiguousarray(image.transpose(1, 2, 0)), size, interpolation=cv2.INTER_LINEAR)
    return (pixels.astype(np.float32) - np.array(settings.mean, np.float32)).transpose(2, 0, 1)
