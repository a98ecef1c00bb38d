"""The deploy nets in two independent implementations: real Caffe, and OpenCV's importer of Caffe nets."""

import caffe
import cv2
import numpy as np
import pytest
from google.protobuf import text_format

from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import deploy_net


def give_random_weights(net, random):
    """Weights under which no layer is idle: all are drawn, and activations neither vanish nor overflow."""
    for name, blobs in net.params.items():
        shapes = [blob.data.shape for blob in blobs]
        if name.startswith("bn"):                    # mean and variance, stored times the third blob
            values = 2 * random.normal(0, 0.2, shapes[0]), 2 * random.uniform(0.5, 1.5, shapes[1]), 2
        elif name.startswith("scale"):
            values = random.uniform(0.3, 0.9, shapes[0]), random.normal(0, 0.2, shapes[1])
        else:
            fan_in = np.prod(shapes[0][1:])
            biases = [random.normal(0, 0.2, shape) for shape in shapes[1:]]
            values = random.normal(0, np.sqrt(2 / fan_in), shapes[0]), *biases
        for blob, value in zip(blobs, values):
            blob.data[...] = value


@pytest.mark.parametrize("base, size", [("vgg16", (32, 32)), ("resnet50", (128, 64)), ("tiny", (64, 64))])
def test_deploy_features_equal_opencvs(base, size, tmp_path):
    prototxt, weights = str(tmp_path / "deploy.prototxt"), str(tmp_path / "weights.caffemodel")
    (tmp_path / "deploy.prototxt").write_text(text_format.MessageToString(deploy_net(base, 2, *size)))
    random = np.random.default_rng(0)
    net = caffe.Net(prototxt, caffe.TEST)
    give_random_weights(net, random)
    net.save(weights)
    images = random.uniform(-120, 130, (2, 3, *size)).astype(np.float32)
    net.blobs["data"].data[...] = images
    features = net.forward()[BACKBONES[base].feature]
    peer = cv2.dnn.readNetFromCaffe(prototxt, weights)
    peer.setInput(images)
    expected = peer.forward().reshape(features.shape)
    assert np.abs(features[0] - features[1]).max() > 1e-2 * np.abs(features).max()
    np.testing.assert_allclose(features, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)
