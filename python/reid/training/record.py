"""What a result is traced back to: the software that made it."""

import functools
import hashlib
import json
import platform
from pathlib import Path

import caffe
import cv2
import numpy as np

from data_prep.files import sha256_file
from reid.training.device import build

ROOT = Path(__file__).resolve().parents[3]


@functools.cache
def versions():
    """Caffe and how it was built, the libraries, and one checksum over this project's own code.

    As they were when it was first asked for: of the code that runs, not of what its files become in the meantime.
    """
    return {"caffe": caffe.__version__, "caffe_build": build(), "python": platform.python_version(),
            "numpy": np.__version__, "opencv": cv2.__version__, "code_sha256": _code()}


def checksum(path):
    """The SHA-256 of a file, computed once as long as its size and time stay the same."""
    state = Path(path).stat()
    return _checksum(Path(path), state.st_size, state.st_mtime_ns)


def split_checksum(manifest, name):
    """The SHA-256 of all that a data manifest says of one split and of the images, whatever other splits there are."""
    about = {**manifest, "splits": {name: manifest["splits"][name]}}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


@functools.cache
def _checksum(path, size, time):
    return sha256_file(path)


def _code():
    digest = hashlib.sha256()
    for folder in ("data_prep", "python/reid"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
