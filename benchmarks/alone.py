"""A part of a benchmark in a process of its own, whose memory and libraries count for it alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from reid.common.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


def run_alone(program: Path, *arguments: object, python: str | Path = sys.executable,
              **environment: str) -> Any:
    """What a Python program prints as its last line, which is JSON; its standard error is passed on.

    Raises InputError where it fails.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), str(ROOT / "python"), os.environ.get("PYTHONPATH"))))
    ended = subprocess.run(list(map(str, (python, program, *arguments))), stdout=subprocess.PIPE, text=True,
                           env={**os.environ, **environment, "PYTHONPATH": path})
    if ended.returncode:
        raise InputError(f"{program} {' '.join(map(str, arguments))}: ended with status {ended.returncode}; "
                         "what it said is above")
    return json.loads(ended.stdout.splitlines()[-1])
