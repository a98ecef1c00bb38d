"""Caffe's weight files, read and written without Caffe, which aborts the process where one does not fit."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from reid.common.errors import InputError
from reid.common.files import read_bytes
from reid.formats.protobuf import parse

OLD_SHAPE = ("num", "channels", "height", "width")    # BlobProto's fields 1 to 4
PACKED_DATA = b"\x2a"    # the key of BlobProto's field `data`: number 5, length-delimited


def read_caffemodel(path: Path | str) -> dict[str, list[caffe_pb2.BlobProto]]:
    """The blobs of a .caffemodel: {layer name: [BlobProto, …]}, layers without parameters left out.

    Both generations are read: `layer` (V2, since 2014) and `layers` (V1, such as VGG's and K. He's own
    files). Raises InputError naming the file where it is missing, cut short or something else, holds both
    generations or one layer twice, or a blob whose numbers are not as many as its shape says.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise InputError(f"{path}: cannot read the weights: {error.strerror}") from None
    return parse_caffemodel(content, path)


def parse_caffemodel(content: bytes, path: Path | str) -> dict[str, list[caffe_pb2.BlobProto]]:
    """What read_caffemodel returns, from the bytes of a file; `path` is its name in messages."""
    try:
        net = parse(caffe_pb2.NetParameter(), content)
    except DecodeError:
        raise InputError(f"{path}: not a .caffemodel, or cut short: compare its size and checksum") from None
    try:
        layers = {layer.name: list(layer.blobs) for layer in (*net.layers, *net.layer) if layer.blobs}
        names = Counter(layer.name for layer in (*net.layers, *net.layer))
    except UnicodeDecodeError:
        raise InputError(f"{path}: damaged: the name of a layer is not UTF-8; get the file again") from None
    if net.layers and net.layer:
        raise InputError(f"{path}: mixes `layers` and `layer`, Caffe's old form and its new one; save it in "
                         "one of them")
    if not layers:
        raise InputError(f"{path}: holds no layer with parameters: it is not a .caffemodel")
    for name, blobs in layers.items():
        if names[name] > 1:
            raise InputError(f"{path}: holds layer {name} {names[name]} times; save it with each layer once")
        for blob in blobs:
            _check_count(path, name, blob)
    return layers


def _check_count(path: Path | str, name: str, blob: caffe_pb2.BlobProto) -> None:
    """InputError where a blob has not as many numbers as its shape says."""
    dims, count = shape(blob), len(blob.data) or len(blob.double_data)
    if min(dims, default=0) < 0 or math.prod(dims) != count or (blob.data and blob.double_data):
        raise InputError(f"{path}: damaged: layer {name} has a blob of shape {dims} that holds "
                         f"{len(blob.data) + len(blob.double_data)} numbers; get the file again")


def serialise(name: str, layers: Mapping[str, Iterable[np.ndarray]]) -> bytes:
    """The bytes of a .caffemodel: net `name` with the blobs of `layers`, {layer name: [float32 array, …]}."""
    net = caffe_pb2.NetParameter(name=name)
    for layer_name, blobs in layers.items():
        layer = net.layer.add(name=layer_name)
        for array in blobs:
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            # as in the file; a list of floats takes minutes
            raw = np.ascontiguousarray(array, "<f4").tobytes()
            blob.MergeFromString(PACKED_DATA + _varint(len(raw)) + raw)
    return net.SerializeToString()


def shape(blob: caffe_pb2.BlobProto) -> tuple[int, ...]:
    """The shape of a BlobProto as a tuple; the four fields of old files, where used, give four numbers."""
    if _is_old(blob):
        return blob.num, blob.channels, blob.height, blob.width
    return tuple(blob.shape.dim)


def fits(blob: caffe_pb2.BlobProto, wanted: Sequence[int]) -> bool:
    """Whether Caffe would copy a BlobProto into a blob of shape `wanted` (Blob::ShapeEquals in blob.cpp)."""
    if _is_old(blob):
        wanted = (1,) * (4 - len(wanted)) + tuple(wanted)
    return shape(blob) == tuple(wanted)


def values(blob: caffe_pb2.BlobProto) -> np.ndarray:
    """The values of a BlobProto as a flat array."""
    if not blob.data:
        return np.array(blob.double_data)
    # Serialised, the floats follow the old shape's fields and their own key and size: faster than one by one.
    size = 4 * len(blob.data)
    before = caffe_pb2.BlobProto(**{name: getattr(blob, name) for name in OLD_SHAPE if blob.HasField(name)})
    start = before.ByteSize() + len(PACKED_DATA + _varint(size))
    return np.frombuffer(blob.SerializeToString(), "<f4", len(blob.data), start)


def _is_old(blob: caffe_pb2.BlobProto) -> bool:
    return any(blob.HasField(name) for name in OLD_SHAPE)


def _varint(number: int) -> bytes:
    """Protobuf's form of a non-negative integer: seven bits a byte, the lowest first."""
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])
