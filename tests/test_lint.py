"""tools/lint.sh: what it refuses, and that the ruff it installs is pinned by its checksums."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def clone(tmp_path):
    """A folder with tools/lint.sh and what it installs."""
    (tmp_path / "tools").mkdir()
    for name in ("lint.sh", "lint-requirements.txt"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    return tmp_path


def refused(clone):
    """What lint.sh says where it does not run."""
    done = subprocess.run([clone / "tools/lint.sh"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_ruff_is_pinned_by_checksums():
    (line,) = [line for line in (ROOT / "tools/lint-requirements.txt").read_text().splitlines()
               if not line.startswith("#")]
    assert re.fullmatch(r"ruff==[0-9.]+( --hash=sha256:[0-9a-f]{64})+", line)


def test_a_clone_without_venv_and_an_image_are_told_what_to_do(clone):
    assert refused(clone) == "error: .venv is missing; run tools/install_caffe.sh first\n"
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").symlink_to(sys.executable)
    (clone / ".venv/sealed").touch()
    assert refused(clone) == "error: .venv came whole with an image or a bundle; lint in a clone\n"


def test_the_pinned_ruff_is_used_where_it_is_there(clone):
    version = re.search("ruff==([0-9.]+)", (clone / "tools/lint-requirements.txt").read_text())[1]
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").symlink_to(sys.executable)
    ruff = clone / ".venv/bin/ruff"
    ruff.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo ruff {version} || echo "$@"\n')
    ruff.chmod(0o755)
    done = subprocess.run([clone / "tools/lint.sh", "--fix"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "check --fix\n")
