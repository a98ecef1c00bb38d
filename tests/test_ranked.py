"""Ranked lists: what is marked as what, in which order, and the page that shows it."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid.formats.feature_file import write_features
from reid.metrics.market1501 import evaluate
from reid.report.ranked import Found, marks, ranked_lists, worst

ROOT = Path(__file__).resolve().parents[1]
# angle, id, camera
GALLERY = [(.0, -1, 2), (.1, 7, 1), (.2, 0, 1), (.3, 7, 2), (.4, 5, 2), (.6, 7, 3), (.9, 8, 2)]


def part(rows):
    """Features in the plane, at the angles of `rows` (angle, identity, camera), as in a feature file."""
    angles, ids, cams = np.array(rows, float).T
    return {"features": np.float32([np.cos(angles), np.sin(angles)]).T, "ids": ids.astype(int),
            "cams": cams.astype(int),
            "names": np.array([f"{identity:g}_{n}.png" for n, identity in enumerate(ids)])}


def test_marks_by_hand():
    gallery = part(GALLERY)
    expected = ["junk", "junk", "distractor", "good", "wrong", "good", "wrong"]
    assert marks("market1501", 7, 1, gallery["ids"], gallery["cams"]).tolist() == expected
    names = np.array(["-1", "0007", "0000", "0007", "0005", "0007", "0008"])
    assert marks("market1501", "0007", 1, names, gallery["cams"]).tolist() == expected
    assert marks("single-shot", 7, 1, gallery["ids"], gallery["cams"]).tolist() == [
        "wrong", "good", "wrong", "good", "wrong", "good", "wrong"]


def test_lists_by_hand():
    query, gallery = part([(.5, 8, 2), (0, 7, 1)]), part(GALLERY)
    (found,) = ranked_lists("market1501", query, gallery, [1], 3)
    assert [(one.name, one.mark, one.rank) for one in found] == [
        ("-1_0.png", "junk", None), ("7_1.png", "junk", None), ("0_2.png", "distractor", 1),
        ("7_3.png", "good", 2)]    # the nearest match, though it is fourth
    assert found[3].distance == pytest.approx(2 - 2 * np.cos(.3), abs=1e-6)
    (found,) = ranked_lists("market1501", query, gallery, [0], 2)    # 8 is there from its own camera only
    assert found == [Found("5_4.png", "wrong", 1, pytest.approx(.01, abs=1e-4)),
                     Found("7_5.png", "wrong", 2, pytest.approx(.01, abs=1e-4))]


@pytest.mark.parametrize("seed", range(5))
def test_lists_and_figures_rank_the_same(seed):
    rng = np.random.default_rng(seed)
    query, gallery = (part(list(zip(rng.uniform(0, 1, n), rng.integers(least, 6, n), rng.integers(1, 4, n))))
                      for n, least in ((9, 1), (40, -1)))
    distances = 2 - 2 * np.float64(query["features"]) @ np.float64(gallery["features"]).T
    ranking = evaluate(distances, query["ids"], query["cams"], gallery["ids"], gallery["cams"])
    for first, found in zip(ranking.first, ranked_lists("market1501", query, gallery, list(range(9)), 40)):
        assert first == next(one.rank for one in found if one.mark == "good")
    order = worst(ranking, 4)
    assert max(ranking.precision["trapezoid"][order]) <= min(np.delete(ranking.precision["trapezoid"], order))


def test_the_worst_queries_are_of_those_that_have_a_match():
    ranking = evaluate(np.array([[.1, .2]] * 3), [7, 9, 5], [1, 1, 1], [7, 5], [2, 2])
    assert worst(ranking, 3) == [2, 0]


def ranked(folder, *arguments):
    return subprocess.run([sys.executable, ROOT / "tools" / "ranked_lists.py", "--protocol",
                           "market1501", "--images",
                           folder, "--query", folder / "query.npz", "--gallery", folder / "gallery.npz",
                           *map(str, arguments)], capture_output=True, text=True, cwd=ROOT)


def test_the_page_frames_each_picture_in_the_colour_of_its_mark(tmp_path):
    query, gallery = part([(0, 7, 1)]), part(GALLERY)
    query["names"] = np.array(["query.png"])
    for name, side in (("query", query), ("gallery", gallery)):
        write_features(tmp_path / f"{name}.npz", **side)
        for picture in side["names"]:
            cv2.imwrite(str(tmp_path / picture), np.full((128, 48, 3), 255, np.uint8))
    done = ranked(tmp_path, "--out", tmp_path / "page.png", "--count", 5)
    assert done.returncode == 0, done.stderr
    page = cv2.imread(str(tmp_path / "page.png")).astype(int)
    line = page[page.shape[0] // 2]    # across the frames: left and right edge of each picture
    runs = [tuple(colour) for colour, before in zip(line[1:], line) if (colour != before).any()]
    colours = {"good": (44, 160, 44), "wrong": (40, 39, 214), "distractor": (14, 127, 255),
               "junk": (127, 127, 127)}
    seen = [mark for run in runs for mark, colour in colours.items() if run == colour]
    assert seen == [mark for mark in ("junk", "junk", "distractor", "good", "wrong") for _ in range(2)]

    (tmp_path / "0_2.png").unlink()
    done = ranked(tmp_path, "--out", tmp_path / "page.png", "--names", "query.png")
    assert done.returncode == 2 and "0_2.png" in done.stderr and "Traceback" not in done.stderr
    done = ranked(tmp_path, "--out", tmp_path / "page.png", "--names", "nobody.png")
    assert done.returncode == 2 and "nobody.png: there is no query of that name" in done.stderr
