"""Caffe's Datum message, read and written without Caffe.

Importing Caffe takes a second and its whole C++ library; the message is five fields of protobuf's wire format
(https://protobuf.dev/programming-guides/encoding): channels = 1, height = 2, width = 3, data = 4 (bytes), label = 5.
"""

import numpy as np

from data_prep.errors import InputError

_VARINT, _BYTES = 0, 2
_CHANNELS, _HEIGHT, _WIDTH, _DATA, _LABEL = 1, 2, 3, 4, 5


def encode(image: np.ndarray, label: int) -> bytes:
    """Return the serialised Datum of an image, uint8 (H, W, 3) BGR, and its label, an int ≥ 0.

    A Datum holds planes, (3, H, W); the bytes are those that protobuf itself writes.
    """
    height, width, channels = image.shape
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    head = b"".join(_field(number, _VARINT) + _varint(value)
                    for number, value in ((_CHANNELS, channels), (_HEIGHT, height), (_WIDTH, width)))
    return (head + _field(_DATA, _BYTES) + _varint(planes.nbytes) + planes.tobytes()
            + _field(_LABEL, _VARINT) + _varint(label))


def decode(message: bytes | memoryview) -> tuple[np.ndarray, int]:
    """Return the image, uint8 (3, H, W) BGR, and the label of a serialised Datum.

    The image is a read-only view of `message`, not a copy. Raises InputError where the bytes are no Datum of three
    raw planes.
    """
    try:
        fields = _parse(memoryview(message))
        shape = fields[_CHANNELS], fields[_HEIGHT], fields[_WIDTH]
        image = np.frombuffer(fields[_DATA], np.uint8).reshape(shape)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError("not a Datum of raw image planes") from error
    if shape[0] != 3:
        raise InputError(f"a Datum of {shape[0]} planes; 3 were expected (blue, green, red)")
    return image, fields.get(_LABEL, 0)


def _parse(message: memoryview) -> dict:
    """Return {field number: int or memoryview}; ValueError or IndexError where the bytes do not parse."""
    fields, place = {}, 0
    while place < len(message):
        key, place = _read_varint(message, place)
        number, kind = key >> 3, key & 7
        value, place = _read_varint(message, place)
        if kind == _BYTES:
            end = place + value
            if end > len(message):
                raise ValueError("cut short")
            value, place = message[place:end], end
        elif kind != _VARINT:
            raise ValueError(f"wire type {kind}")
        fields[number] = value
    return fields


def _field(number: int, kind: int) -> bytes:
    return bytes([number << 3 | kind])


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the high bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
