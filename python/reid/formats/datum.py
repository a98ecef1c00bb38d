"""Caffe's Datum message, read and written without the rest of Caffe.

Importing `caffe` takes a second and its whole C++ library, and neither preparing data nor the worker
processes of the feed need it.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from google.protobuf.message import DecodeError

from reid.common.errors import InputError
from reid.formats.picture import decoded
from reid.formats.protobuf import parse


def _caffe_pb2() -> ModuleType:
    """Return caffe.proto.caffe_pb2, from its own file where Caffe is not imported yet."""
    if "caffe.proto.caffe_pb2" in sys.modules:
        return sys.modules["caffe.proto.caffe_pb2"]
    package = importlib.util.find_spec("caffe")
    if package is None:
        raise ImportError("there is no Caffe in this Python: run tools/install_caffe.sh and use "
                          ".venv/bin/python")
    path = Path(package.origin).parent / "proto" / "caffe_pb2.py"
    spec = importlib.util.spec_from_file_location("reid.formats.caffe_pb2", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Datum = _caffe_pb2().Datum


def encode(image: np.ndarray, label: int) -> bytes:
    """Return the serialised Datum of an image, uint8 (H, W, 3) BGR, kept as (3, H, W), and its label ≥ 0."""
    height, width, channels = image.shape
    planes = image.transpose(2, 0, 1).tobytes()
    return Datum(channels=channels, height=height, width=width, data=planes, label=label).SerializeToString()


def encode_file(content: bytes, label: int) -> bytes:
    """Return the serialised Datum of an image file's bytes, which Caffe calls encoded, and its label ≥ 0."""
    return Datum(data=content, encoded=True, label=label).SerializeToString()


def decode(message: bytes) -> tuple[np.ndarray | tuple[np.ndarray, ...], int]:
    """Return the image and the label of a serialised Datum.

    The image is its blue, green and red planes, uint8 (3, H, W), read-only; of an encoded Datum a tuple of
    three arrays (H, W). Raises InputError where the bytes are no Datum of three raw planes or of a file that
    OpenCV reads.
    """
    try:
        datum = parse(Datum(), message)
        image = (None if datum.encoded else
                 np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width))
    except (DecodeError, ValueError) as error:
        raise InputError("not a Datum of raw image planes") from error
    if image is None:
        picture = decoded(datum.data)
        if picture is None:
            raise InputError("a Datum whose image file cannot be read")
        return cv2.split(picture), datum.label
    if len(image) != 3:
        raise InputError(f"a Datum of {len(image)} planes; 3 were expected (blue, green, red)")
    return image, datum.label
