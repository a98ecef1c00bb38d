"""What a result is traced back to: the software that made it."""

import hashlib
import json
import platform
import sys
from pathlib import Path

import caffe
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[3]


def versions():
    """Caffe and how it was built, the libraries, and one checksum over this project's own code."""
    return {"caffe": caffe.__version__, "caffe_build": build(), "python": platform.python_version(),
            "numpy": np.__version__, "opencv": cv2.__version__, "code_sha256": _code()}


def build():
    """What tools/install_caffe.sh wrote down about the Caffe in use; {} where it was built by other means."""
    file = Path(sys.prefix) / "caffe-build.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def _code():
    digest = hashlib.sha256()
    for folder in ("data_prep", "python/reid"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
