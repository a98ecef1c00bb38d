"""What a result is traced back to: the software that made it."""

import functools
import hashlib
import platform
from pathlib import Path

import caffe
import cv2
import numpy as np

from reid.engine.device import build

ROOT = Path(__file__).resolve().parents[3]


@functools.cache
def versions():
    """Caffe and how it was built, the libraries, and one checksum over this project's own code.

    As they were when it was first asked for: of the code that runs, not of what its files become in the
    meantime.
    """
    return {"caffe": caffe.__version__, "caffe_build": build(), "python": platform.python_version(),
            "numpy": np.__version__, "opencv": cv2.__version__, "code_sha256": _code()}


def _code():
    digest = hashlib.sha256()
    for folder in ("data_prep", "python/reid"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
