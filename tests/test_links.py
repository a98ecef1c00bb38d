"""Symbolic links in a raw folder: what they lead to is read as if it lay there, and none is left out."""

import os
import shutil
import socket

import cv2
import numpy as np
import pytest

from data_prep import __main__ as command
from data_prep.readers.registry import read


@pytest.fixture
def raw(tmp_path):
    """A user's own folder: four identities, two cameras, one image each."""
    rng = np.random.default_rng(0)
    for number in range(4):
        for camera in (1, 2):
            path = tmp_path / f"raw/p{number}/{camera}/x.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), rng.integers(0, 256, (20, 10, 3), np.uint8))
    return tmp_path / "raw"


def moved(path, elsewhere):
    """Move a file or folder elsewhere and leave a symbolic link in its place."""
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("name", ["p3", "p3/2", "p3/2/x.png", "."])
def test_a_link_is_followed(raw, tmp_path, name):
    before = read("folder", raw).images
    moved(raw / name if name != "." else raw, tmp_path / "elsewhere")
    assert read("folder", raw).images == before


def test_a_linked_folder_of_viper_is_followed(generated_viper, tmp_path):
    (tmp_path / "raw").mkdir()
    shutil.copy(generated_viper / "GENERATED.json", tmp_path / "raw")
    for camera in ("cam_a", "cam_b"):
        (tmp_path / "raw" / camera).symlink_to(generated_viper / camera)
    assert read("viper", tmp_path / "raw").images == read("viper", generated_viper).images


@pytest.mark.parametrize("name", ["p9", "p3/7", "p3/2/y.png"])
@pytest.mark.parametrize("kind", ["dangling", "itself", "above", "pipe", "socket"])
def test_what_leads_nowhere_or_is_no_file_is_refused_by_name(raw, tmp_path, monkeypatch, capsys, name, kind):
    path = raw / name
    what = {"dangling": "leads to", "itself": "leads to", "above": "leads back to", "pipe": "neither",
            "socket": "neither"}
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(path.parent)    # the address of a socket is short
        socket.socket(socket.AF_UNIX).bind(path.name)
    else:
        path.symlink_to({"dangling": tmp_path / "gone", "itself": path, "above": path.parent}[kind])
    assert command.main(["folder", "--raw", str(raw), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ") and what[kind] in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_systems_leave_behind_may_be_links_to_anything(raw):
    before = read("folder", raw).images
    for name, target in ((".DS_Store", raw), ("__MACOSX", raw / "gone"), ("README.txt", __file__)):
        (raw / "p0" / name).symlink_to(target)
    assert read("folder", raw).images == before
