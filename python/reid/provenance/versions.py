"""The versions of the software that made a result."""

import functools
import hashlib
import platform
from pathlib import Path
from typing import Any

import caffe
import cv2
import numpy as np

from reid.engine.device import build

ROOT = Path(__file__).resolve().parents[3]


@functools.cache
def versions() -> dict[str, Any]:
    """Caffe and how it was built, the libraries, and one checksum over this project's own code.

    The code is that of data_prep and python/reid, which compute every result. Not weights/: a caffemodel is
    identified by its own checksum; not tools/, which read arguments and call the library. Computed once in a
    process, at the first call: a file that is edited while a training runs is not the code that runs.
    """
    return {"caffe": caffe.__version__, "caffe_build": build(), "python": platform.python_version(),
            "numpy": np.__version__, "opencv": cv2.__version__, "code_sha256": _code()}


def _code() -> str:
    digest = hashlib.sha256()
    for folder in ("data_prep", "python/reid"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
