"""Pages are written whole: a full disk leaves the older one."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import programs
import pytest
from test_report import write

from reid.formats.feature_file import write_features
from tools import report


def lists(out, query, images, size=10 ** 7):
    """Ranked lists written where no file can grow beyond `size` bytes, as on a disk that is full."""
    return programs.run("tools/ranked_lists.py", "--query", query, "--gallery", query, "--protocol",
                        "single-shot", "--images", images, "--out", out, "--names", "x0.png", "--count", "2",
                        largest_file=size)


@pytest.fixture
def query(tmp_path):
    names = [f"x{n}.png" for n in range(3)]
    for name in names:
        cv2.imwrite(str(tmp_path / name), np.zeros((20, 10, 3), np.uint8))
    write_features(tmp_path / "q.npz", np.eye(3), ["<b>&", "b", "c"], [1, 1, 1], names)
    return tmp_path / "q.npz"


def test_the_command_line_on_a_full_disk(query, tmp_path):
    out = tmp_path / "page.html"
    done = lists(out, query, tmp_path)
    assert done.returncode == 0, done.stderr
    before = out.read_bytes()
    assert b"identity &lt;b&gt;&amp;, camera 1" in before
    done = lists(out, query, tmp_path, 2000)
    assert done.returncode == 2 and f"'{out}'" in done.stderr and len(done.stderr.splitlines()) == 1
    assert out.read_bytes() == before


def test_a_page_names_a_folder_whose_name_is_not_utf_8(query, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    shutil.copytree(tmp_path, folder)
    done = lists(folder / "page.html", folder / query.name, folder)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/\\udcff/{query.name}" in (folder / "page.html").read_text()


@pytest.mark.parametrize("there", [False, True])
def test_a_report_says_why_it_has_no_ranked_lists(query, tmp_path, there):
    run = tmp_path / "runs/split00"
    write(tmp_path / "runs", 0, .1, .2, about={"data_folder": "../moved"})
    (run / "features/after").mkdir(parents=True)
    if there:
        for side in ("query", "gallery"):
            shutil.copy(query, run / f"features/after/{side}.npz")
    page = report.write(report.load(tmp_path / "runs", 1))
    gone = f"{tmp_path}/runs/moved" if there else f"{run}/features/after/query.npz"
    assert f"No ranked lists: {gone} is not there" in page


def test_an_ending_that_is_no_page_is_refused(query, tmp_path):
    done = lists(tmp_path / "page.png", query, tmp_path)
    assert done.returncode == 2 and "page.png: ranked lists are an HTML page" in done.stderr
