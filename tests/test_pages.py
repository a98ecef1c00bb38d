"""Pictures are written whole: a full disk leaves the older one, and a kill leaves the one or the other."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from reid.common.errors import InputError
from reid.engine.tables import Table
from reid.formats.feature_file import write_features
from reid.report import curves, ranked
from reid.report.page import write_page
from reid.report.results import Group

ROOT = Path(__file__).resolve().parents[1]


def figure():
    drawn, axes = plt.subplots()
    axes.plot(range(9))
    return drawn


def draw_curves(path, folder):
    if not (folder / "losses.csv").exists():
        Table(folder / "losses.csv", 0).write(1, epoch=0, lr=.001, loss_id_a=2.0, loss_verif=.7)
    group = Group("tiny", [SimpleNamespace(iterations=4, split="split00")], [folder])
    curves.draw(path, SimpleNamespace(stage="viper", dataset="viper", generated=True), group)


def draw_lists(path, folder):
    cv2.imwrite(str(folder / "x.png"), np.zeros((20, 10, 3), np.uint8))
    found = [ranked.Found("x.png", "good", 1, .5)]
    ranked.draw(path, "title", [("x.png", "text")], [found], folder)


def fail(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("draw", [draw_curves, draw_lists])
def test_a_full_disk_leaves_the_older_picture(tmp_path, monkeypatch, draw):
    page, shown = tmp_path / "page.png", plt.get_fignums()    # of other tests
    draw(page, tmp_path)
    before = page.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=f"'{page}'"):
        draw(page, tmp_path)
    assert page.read_bytes() == before and not list(tmp_path.glob(".*"))
    assert plt.get_fignums() == shown


def limited(out, query, images, size):
    """Ranked lists drawn where no file can grow beyond `size` bytes, as on a disk that is full."""
    command = [sys.executable, ROOT / "tools/ranked_lists.py", "--query", query, "--gallery", query,
               "--protocol", "single-shot", "--images", images, "--out", out, "--names", "x0.png", "--count",
               "2"]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))


@pytest.fixture
def query(tmp_path):
    names = [f"x{n}.png" for n in range(3)]
    for name in names:
        cv2.imwrite(str(tmp_path / name), np.zeros((20, 10, 3), np.uint8))
    write_features(tmp_path / "q.npz", np.eye(3), ["p$x_$", "b", "c"], [1, 1, 1], names)
    return tmp_path / "q.npz"


def test_the_command_line_on_a_full_disk(query, tmp_path):
    out = tmp_path / "page.png"
    done = limited(out, query, tmp_path, 10 ** 7)
    assert done.returncode == 0, done.stderr
    before = out.read_bytes()
    done = limited(out, query, tmp_path, 2000)
    assert done.returncode == 2 and f"'{out}'" in done.stderr and len(done.stderr.splitlines()) == 1
    assert out.read_bytes() == before


def test_an_ending_that_is_no_picture_is_refused(tmp_path):
    for name in ("page", "page.xyz"):
        with pytest.raises(InputError, match=f"{tmp_path}/{name}: .*png"):
            write_page(tmp_path / name, figure())
    write_page(tmp_path / "page.PDF", figure())
    assert (tmp_path / "page.PDF").read_bytes().startswith(b"%PDF")
