"""Caffe's weight files, read without handing them to Caffe, which aborts the process where something does not fit."""

import warnings
from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError
import numpy as np

from data_prep.errors import InputError


def read_caffemodel(path):
    """The blobs of a .caffemodel: {layer name: [BlobProto, …]}, layers without parameters left out.

    Both generations are read: `layer` (V2, since 2014) and `layers` (V1, such as VGG's and K. He's own files).
    Raises InputError naming the file where it is missing, cut short or something else.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read the weights: {error.strerror}") from None
    net = caffe_pb2.NetParameter()
    try:
        with warnings.catch_warnings(action="ignore"):    # of bytes left over, which the comparison notices
            if net.ParseFromString(content) < len(content):
                raise DecodeError
    except DecodeError:
        raise InputError(f"{path}: not a .caffemodel, or cut short: compare its size and checksum") from None
    layers = {layer.name: list(layer.blobs) for layer in (*net.layers, *net.layer) if layer.blobs}
    if not layers:
        raise InputError(f"{path}: holds no layer with parameters: it is not a .caffemodel")
    return layers


def shape(blob):
    """The shape of a BlobProto as a tuple; the four fields of old files, where they are used, give four numbers."""
    if _is_old(blob):
        return blob.num, blob.channels, blob.height, blob.width
    return tuple(blob.shape.dim)


def fits(blob, wanted):
    """Whether Caffe would copy a BlobProto into a blob of shape `wanted` (Blob::ShapeEquals in blob.cpp)."""
    if _is_old(blob):
        wanted = (1,) * (4 - len(wanted)) + tuple(wanted)
    return shape(blob) == tuple(wanted)


def values(blob):
    """The values of a BlobProto as a flat array."""
    return np.array(blob.data or blob.double_data)


def _is_old(blob):
    return any(blob.HasField(name) for name in ("num", "channels", "height", "width"))
