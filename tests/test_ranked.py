"""Ranked lists: what is marked as what, in which order, and the page that shows it."""

import base64
import json
import re

import cv2
import numpy as np
import programs
import pytest

from reid.common.errors import InputError
from reid.formats.feature_file import write_features
from reid.formats.image_lmdb import ImageStore
from reid.metrics.market1501 import evaluate
from reid.metrics.protocol import rank
from reid.report.ranked import Found, Prepared, about, marks, ranked_lists, spread, worst

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
    assert found == [Found("5_4.png", "wrong", 1, pytest.approx(.01, abs=1e-4), 5, 2),
                     Found("7_5.png", "wrong", 2, pytest.approx(.01, abs=1e-4), 7, 3)]


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


def test_chosen_queries_run_from_the_worst_to_the_best():
    ranking = evaluate(np.array([[.1, .2, .3, .4]] * 3), [7, 5, 3], [1, 1, 1], [7, 5, 4, 3], [2, 2, 2, 2])
    assert spread(ranking, 3) == [2, 1, 0] and spread(ranking, 2) == [2, 0] and spread(ranking, 9) == [2, 1,
                                                                                                       0]


def test_text_and_pictures_give_the_same_rank():
    """Single-shot: the rank among all gallery images, and the protocol's own mean called what it is."""
    query, gallery = part([(0, 7, 1)]), part([(.1, 5, 2), (.2, 5, 2), (.3, 7, 2), (.4, 7, 2)])
    ranking = rank("single-shot", query, gallery)
    (found,) = ranked_lists("single-shot", query, gallery, [0], 4)
    assert [one.rank for one in found if one.mark == "good"] == [3, 4]
    said = about("single-shot", query, ranking, 0, found)
    assert "first match at rank 3, at rank 2 on average where the gallery holds one image" in said
    (market,) = ranked_lists("market1501", query, gallery, [0], 4)
    said = about("market1501", query, rank("market1501", query, gallery), 0, market)
    assert "first match at rank 3, AP" in said


def ranked(folder, *arguments):
    return programs.run("tools/ranked_lists.py", "--protocol", "market1501", "--images", folder, "--query",
                        folder / "query.npz", "--gallery", folder / "gallery.npz", *arguments)


def test_the_page_says_what_each_picture_is(tmp_path):
    query, gallery = part([(0, 7, 1)]), part(GALLERY)
    query["names"] = np.array(["query.png"])
    shades = {}
    for name, side in (("query", query), ("gallery", gallery)):
        write_features(tmp_path / f"{name}.npz", **side)
        for place, file in enumerate(side["names"]):
            shades[str(file)] = 20 + 25 * place if name == "gallery" else 250
            cv2.imwrite(str(tmp_path / file), np.full((128, 48, 3), shades[str(file)], np.uint8))
    done = ranked(tmp_path, "--out", tmp_path / "page.html", "--count", 5)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    items = re.findall(r'<li><div class="(\w+)"><img src="data:image/jpeg;base64,([^"]+)"[^>]*></div>'
                       r"<strong>([^<]+)</strong>", page)
    assert [(mark, title) for mark, _, title in items] == [
        ("query", "query"), ("junk", "junk, no rank"), ("junk", "junk, no rank"),
        ("distractor", "1: distractor"), ("good", "2: good"), ("wrong", "3: wrong")]
    names = ["query.png", "-1_0.png", "7_1.png", "0_2.png", "7_3.png", "5_4.png"]
    for (_, content, _), name in zip(items, names):
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (128, 48, 3) and abs(float(picture.mean()) - shades[name]) < 2
    assert "http" not in page.replace("http://www.w3.org", "") and "<script" not in page

    (tmp_path / "0_2.png").unlink()
    done = ranked(tmp_path, "--out", tmp_path / "page.html", "--names", "query.png")
    assert done.returncode == 2 and "0_2.png" in done.stderr and "Traceback" not in done.stderr
    done = ranked(tmp_path, "--out", tmp_path / "page.html", "--names", "nobody.png")
    assert done.returncode == 2 and "nobody.png: there is no query of that name" in done.stderr
    done = ranked(tmp_path, "--out", tmp_path / "page.html", "--data", tmp_path)
    assert done.returncode == 2 and "one of --data and --images" in done.stderr


def test_pictures_of_prepared_data_are_those_of_their_names(prepared_viper):
    """As for `large` and a .mat, whose raw files a name does not lead to."""
    pictures, manifest = Prepared(prepared_viper), json.loads((prepared_viper / "manifest.json").read_text())
    images = ImageStore(prepared_viper / "images")
    for row in (0, len(images) - 1):
        shown = cv2.imdecode(np.frombuffer(pictures.get(manifest["images"]["path"][row]), np.uint8),
                             cv2.IMREAD_COLOR)
        stored = cv2.resize(images.get(row)[0].transpose(1, 2, 0), (96, 192), interpolation=cv2.INTER_AREA)
        assert shown.shape == (192, 96, 3) and np.abs(shown.astype(int) - stored).mean() < 6
    with pytest.raises(InputError, match="has no image nobody.png; give the prepared data"):
        pictures.get("nobody.png")
    with pytest.raises(InputError, match="data_prep"):    # a .mat itself, say
        Prepared(prepared_viper / "manifest.json")
