"""`large`: Market-1501 and CUHK03 train together, with labels that never meet."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from records import edit

from data_prep.check import NotProved, check
from data_prep.prepare import prepare
from data_prep.readers.registry import read
from data_prep.splits.load import COMMITTED, load_split, split_count
from reid.common.errors import InputError
from reid.formats.image_lmdb import ImageStore
from reid.formats.manifest import load_manifest
from reid.formats.pair_lmdb import PairStore


@pytest.fixture(scope="module")
def prepared(generated_large, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "large"
    prepare("large", generated_large, out, epochs=2)
    return out


def test_the_index_holds_what_trains_of_the_one_and_all_of_the_other(generated_large):
    index = read("large", generated_large)
    market, cuhk = (read(name, generated_large / name) for name in ("market1501", "cuhk03"))
    trains = [image for image in market.images if image.role == "train"]
    assert len(index.images) == len(trains) + len(cuhk.images) and index.generated
    assert {image.camera for image in index.images[len(trains):]} == {7, 8}
    assert index.variant == "detected" and read("large", generated_large, "labeled").variant == "labeled"


def test_splits_are_cuhk03s_with_market1501_training_throughout(generated_large):
    index, alone = read("large", generated_large), read("cuhk03", generated_large / "cuhk03")
    assert split_count(index) == 20
    for number in (0, 13):
        split, own = load_split(index, number, 0), load_split(alone, number, 0)
        for part in ("train", "validation", "query", "gallery"):
            paths = [index.images[place].path for place in getattr(split, part)]
            assert [path for path in paths if path.startswith("cuhk03/")] == [
                f"cuhk03/{alone.images[place].path}" for place in getattr(own, part)]
            market = [path for path in paths if path.startswith("market1501/bounding_box_train/")]
            assert len(paths) - len(getattr(own, part)) == len(market) == (52 if part == "train" else 0)


def test_the_real_datasets_take_cuhk03s_committed_splits(generated_large):
    index = replace(read("large", generated_large), generated=False, test_sets=())
    split, expected = load_split(index, 2, 0), json.loads(COMMITTED["cuhk03"].read_text())["splits"][2]
    assert split.origin == "committed cuhk03.json #2"
    for part in ("train", "validation"):
        cuhk = {index.images[place].identity for place in getattr(split, part)
                if index.images[place].path.startswith("cuhk03/")}
        present = {image.identity for image in index.images}
        assert cuhk == {f"cuhk03/{identity}" for identity in expected[part]} & present


def test_prepared_and_proved(prepared):
    proved = list(check(prepared))
    assert "no identity of Market-1501 is one of CUHK03" in proved[2]
    manifest = load_manifest(prepared)
    split = manifest.splits["split00"]
    assert split.classes == 3 + 12 and manifest.protocol == "single-shot"
    labels = PairStore(prepared / "split00/train").labels
    first = {path.split("/")[0]: set() for path in manifest.images.path}
    for path, label in zip(manifest.images.path, labels.tolist()):
        first[path.split("/")[0]].add(label)
    assert not first["market1501"] & first["cuhk03"]
    assert first["market1501"] | first["cuhk03"] == set(range(-1, 15))


def test_pictures_of_both_are_stored(prepared, generated_large):
    store, index = ImageStore(prepared / "images"), read("large", generated_large)
    for place in (0, len(index.images) - 1):
        image = index.images[place]
        if image.path.startswith("market1501/"):
            picture = cv2.imread(str(generated_large / image.path))
        else:
            picture = read("cuhk03", generated_large / "cuhk03").pixels.picture(image.path.partition("/")[2])
        expected = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(store.get(place)[0].transpose(1, 2, 0), expected)


def test_a_shared_identity_is_found(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "out")
    edit(tmp_path / "out/manifest.json",
         lambda manifest: manifest["images"]["path"].__setitem__(0, "cuhk03/1_001_1_01.png"))
    with pytest.raises(NotProved, match="the two datasets share an identity"):
        list(check(tmp_path / "out"))


def test_one_of_the_two_is_missing(generated_large, tmp_path):
    (tmp_path / "cuhk03").symlink_to(generated_large / "cuhk03")
    with pytest.raises(InputError, match="market1501: there is no such folder; large needs market1501/"):
        read("large", tmp_path)
