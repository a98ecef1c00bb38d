"""Splits: the committed file is what its command writes, and every split is fair, whole and repeatable."""

import json
from pathlib import Path

import pytest

from data_prep.index import Image, Index
from data_prep.readers import cuhk01, cuhk03, viper
from data_prep.splits import __main__ as command
from data_prep.splits.draw import draw
from data_prep.splits.load import COMMITTED, RULES, Split, load_split, split_count
from reid.common.errors import InputError
from reid.formats.manifest import describe_splits, parse_splits


def two_views(identities, dataset="folder", generated=False) -> Index:
    """An index of one image by camera 1 and two by camera 2 for each identity."""
    images = [Image(f"{name}/{view}", name, camera) for name in identities
              for view, camera in (("a", 1), ("b", 2), ("c", 2))]
    return Index(dataset, Path("raw"), tuple(images), "single-shot", generated)


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_file_is_what_its_command_writes(tmp_path, monkeypatch, name):
    committed = COMMITTED[name].read_bytes()
    monkeypatch.setitem(COMMITTED, name, tmp_path / "splits.json")
    assert command.main([name]) == 0
    assert (tmp_path / "splits.json").read_bytes() == committed


@pytest.mark.parametrize("name, people, sizes, count", [
    ("viper", viper.IDENTITIES, {"train": 316, "test": 316}, 10),
    ("cuhk01-p100", cuhk01.IDENTITIES, {"train": 871, "test": 100}, 10),
    ("cuhk01-p486", cuhk01.IDENTITIES, {"train": 485, "test": 486}, 10),
    ("cuhk03", cuhk03.IDENTITIES, {"train": 1160, "validation": 100, "test": 100}, 20)])
def test_committed_splits(name, people, sizes, count):
    content = json.loads(COMMITTED[name].read_text())
    assert (content["dataset"], len(content["splits"])) == (name.split("-")[0], count)
    for split in content["splits"]:
        assert {part: len(identities) for part, identities in split.items()} == sizes
        assert sorted(sum(split.values(), [])) == sorted(people)
    assert len({tuple(split["train"]) for split in content["splits"]}) == count


def test_drawn_splits_depend_on_the_seed_only():
    names = [f"{number}" for number in range(21)]
    splits = draw(names, 3)
    assert splits == draw(reversed(names), 3) != draw(names, 4)
    for split in splits:
        assert (len(split["train"]), len(split["test"])) == (10, 11)
        assert sorted(split["train"] + split["test"]) == sorted(names)


def test_generated_people_are_split_in_the_datasets_proportion():
    split = draw([f"{number}" for number in range(136)], 0, RULES["cuhk03"])[19]
    assert {part: len(identities) for part, identities in split.items()} == {
        "train": 116, "validation": 10, "test": 10}


def test_real_viper_takes_the_committed_split_and_generated_people_do_not():
    real = load_split(two_views(viper.IDENTITIES, "viper"), 4, seed=9)
    assert real.origin == "committed viper.json #4"
    assert real == load_split(two_views(viper.IDENTITIES, "viper"), 4, seed=0)
    generated = load_split(two_views(viper.IDENTITIES, "viper", generated=True), 4, seed=9)
    assert generated.origin == "drawn, seed 9, #4"


def test_queries_are_of_the_lowest_camera_and_the_gallery_of_the_others():
    index = two_views("abcd")
    split = load_split(index, 0, 0)
    assert (len(split.train), len(split.query), len(split.gallery)) == (6, 2, 4)
    assert {index.images[place].camera for place in split.query} == {1}
    assert {index.images[place].camera for place in split.gallery} == {2}
    assert {index.images[place].identity for place in split.query + split.gallery}.isdisjoint(
        index.images[place].identity for place in split.train)


def test_roles_of_the_dataset_come_first():
    images = (Image("a", "1", 1, "train"), Image("b", "1", 2, "train"), Image("c", "2", 1, "query"),
              Image("d", "2", 2, "gallery"))
    index = Index("csv", Path("raw"), images, "single-shot")
    split = load_split(index, 0, 0)
    assert split == Split("fixed by the dataset", train=[0, 1], query=[2], gallery=[3])
    assert split_count(index) == 1
    with pytest.raises(InputError, match="split 1: csv has splits 0 to 0"):
        load_split(index, 1, 0)


@pytest.mark.parametrize("text, numbers, again", [
    ("0", [0], "0"), ("7,0-2,4", [0, 1, 2, 4, 7], "0-2,4,7"), ("1,1-1", [1], "1")])
def test_numbers_of_splits_in_few_words(text, numbers, again):
    assert parse_splits(text) == numbers and describe_splits(numbers) == again


@pytest.mark.parametrize("text", ["", "x", "-1", "1-", "4-2", "0,,1", "1-2-3", " 1", "٣", "0-99999"])
def test_what_is_no_numbers_of_splits_is_refused(text):
    with pytest.raises(InputError, match="write numbers as 0,2-4, or all"):
        parse_splits(text)


def test_an_empty_split_is_an_error():
    with pytest.raises(InputError, match=r"raw: split 0 \(drawn, seed 0, #0\) has no train images"):
        load_split(two_views("a"), 0, 0)
