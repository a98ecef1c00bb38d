"""Market-1501: roles, cameras, junk and distractors, its published numbers, and what prepare makes of it."""

import json
import shutil

import numpy as np
import pytest
from records import edit

from data_prep.check import NotProved, check
from data_prep.people.write import write
from data_prep.prepare import prepare
from data_prep.readers import market1501
from data_prep.readers.registry import read
from data_prep.splits.load import load_split, split_count
from reid.common.errors import InputError
from reid.formats.manifest import load_manifest
from reid.formats.pair_lmdb import PairStore


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "market1501"
    write(folder, "market1501", identities=8, seed=7)
    return folder


@pytest.fixture
def copy(raw, tmp_path):
    shutil.copytree(raw, tmp_path / "copy")
    return tmp_path / "copy"


def of_role(index, role):
    return [image for image in index.images if image.role == role]


def test_roles_identities_and_cameras(raw):
    index = read("market1501", raw)
    folders = {"train": "bounding_box_train", "gallery": "bounding_box_test", "query": "query",
               "multi_query": "gt_bbox"}
    assert index.protocol == "market1501" and index.generated and index.variant is None
    for image in index.images:
        folder, _, name = image.path.partition("/")
        assert folder == folders[image.role]
        assert name.startswith(f"{image.identity}_c{image.camera}s")
    train, query, gallery = ({image.identity for image in of_role(index, role)}
                             for role in ("train", "query", "gallery"))
    assert len(train) == len(query) == 4 and not train & (query | gallery)
    assert gallery == query | {"-1", "0000"}


def test_multiple_queries_are_the_hand_drawn_boxes_of_query_and_camera(raw):
    index = read("market1501", raw)
    queries = {(image.identity, image.camera) for image in of_role(index, "query")}
    expected = [path.name for path in sorted((raw / "gt_bbox").iterdir())
                if (path.name[:4], int(path.name[6])) in queries]
    assert [image.path[8:] for image in of_role(index, "multi_query")] == expected
    assert len(expected) < len(list((raw / "gt_bbox").iterdir()))     # those of people who train are left out
    for name in (path.name for path in (raw / "query").iterdir()):     # each query is one of its own boxes
        assert (raw / "gt_bbox" / name).read_bytes() == (raw / "query" / name).read_bytes()


def test_generated_numbers_are_in_proportion(raw):
    counts = json.loads((raw / "GENERATED.json").read_text())["counts"]
    # 8/1501 of the real numbers, half of the identities training
    assert counts == {"bounding_box_train": 69, "bounding_box_test": 105, "query": 18, "gt_bbox": 134,
                      "training identities": 4, "query identities": 4, "junk in bounding_box_test": 20,
                      "distractors in bounding_box_test": 15}
    for folder in ("bounding_box_train", "bounding_box_test", "query", "gt_bbox"):
        assert len(list((raw / folder).iterdir())) == counts[folder]


def real_names():
    """Names in the numbers that the dataset's authors publish."""
    def boxes(folder, identities, total):
        return [f"{folder}/{identities[place % len(identities)]}_c{1 + place // len(identities) % 6}s1_"
                f"{place:06d}_01.jpg" for place in range(total)]
    train, test = ([f"{number:04d}" for number in range(first, 1502, 2)] for first in (1, 2))
    return (boxes("bounding_box_train", train, 12_936) + boxes("query", test, 3_368)
            + boxes("bounding_box_test", test, 13_115) + boxes("bounding_box_test", ["-1"], 3_819)
            + boxes("bounding_box_test", ["0000"], 2_798) + boxes("gt_bbox", train + test, 25_259))


def test_the_real_numbers(monkeypatch, tmp_path):
    names = [*real_names(), "gt_query/0001_c1s1_001051_00_good.mat"]
    monkeypatch.setattr(market1501, "list_files", lambda root: names)
    index = read("market1501", tmp_path)
    assert not index.generated and split_count(index) == 1
    split = load_split(index, 0, seed=4)
    assert (len(split.train), len(split.query), len(split.gallery)) == (12_936, 3_368, 19_732)
    assert split.origin == "fixed by the dataset" and len(split.multi_query) > 3_368
    names.remove("bounding_box_test/-1_c1s1_000000_01.jpg")
    with pytest.raises(InputError, match=r"bounding_box_test: 19,731, 19,732 expected \(1 missing\); "
                                         r"junk in bounding_box_test: 3,818, 3,819 expected \(1 missing\)"):
        read("market1501", tmp_path)


def test_a_missing_folder_and_a_surplus_file(copy):
    name = next((copy / "gt_bbox").iterdir()).name
    shutil.rmtree(copy / "gt_bbox")
    with pytest.raises(InputError, match=r"gt_bbox: 0, 134 expected \(134 missing\); unpack"):
        read("market1501", copy)
    shutil.copy(copy / "query" / next((copy / "query").iterdir()).name, copy / "bounding_box_train" / name)
    with pytest.raises(InputError, match=r"bounding_box_train: 70, 69 expected \(1 too many\).*gt_bbox: 0"):
        read("market1501", copy)


def test_a_damaged_mark(copy):
    mark = json.loads((copy / "GENERATED.json").read_text())
    del mark["counts"]["query"]
    (copy / "GENERATED.json").write_text(json.dumps(mark))
    with pytest.raises(InputError, match="GENERATED.json: .*damaged.*generate the people again"):
        read("market1501", copy)


def test_an_unknown_camera(copy):
    path = next((copy / "query").iterdir())
    path.rename(path.with_name(f"{path.name[:6]}7{path.name[7:]}"))
    with pytest.raises(InputError, match=r"query/\d{4}_c7s1_000000_00.jpg: camera 7; the dataset has cam"):
        read("market1501", copy)


def test_a_file_of_another_name(copy):
    (copy / "query/0002.jpg").touch()
    with pytest.raises(InputError, match="not understood: query/0002.jpg; expected bounding_box_train, "):
        read("market1501", copy)


def recount(root, name, change):
    """Change a number of GENERATED.json, so that counts are right and something else is wrong."""
    mark = json.loads((root / "GENERATED.json").read_text())
    mark["counts"][name] += change
    (root / "GENERATED.json").write_text(json.dumps(mark))


def test_an_identity_that_trains_and_is_tested(copy):
    trained = sorted((copy / "bounding_box_train").iterdir())[0].name[:4]
    distractor = next((copy / "bounding_box_test").glob("0000_*"))
    distractor.rename(distractor.with_name(f"{trained}{distractor.name[4:]}"))
    recount(copy, "distractors in bounding_box_test", -1)
    with pytest.raises(InputError, match=f"identity {trained} is in bounding_box_train too"):
        read("market1501", copy)


def test_a_query_without_a_match(copy):
    query = sorted((copy / "query").iterdir())[0]
    matches = list((copy / "bounding_box_test").glob(f"{query.name[:4]}_*"))
    for place, path in enumerate(matches):
        path.rename(path.with_name(f"-1_c1s2_{place:06d}_01.jpg"))
    recount(copy, "junk in bounding_box_test", len(matches))
    with pytest.raises(InputError, match=f"{query.name}: identity {query.name[:4]} is in bounding_box_test "
                                         "by no other camera"):
        read("market1501", copy)


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "market1501"
    prepare("market1501", raw, out, epochs=2)
    return out


def test_prepared_and_proved(prepared):
    manifest = load_manifest(prepared)
    assert manifest.protocol == "market1501" and sorted(manifest.splits) == ["split00"]
    assert manifest.identities[:2] == ["-1", "0000"] and not manifest.flip
    split = manifest.splits["split00"]
    assert (len(split.train), len(split.query), len(split.gallery)) == (69, 18, 105)
    identity = np.array(manifest.images.identity)
    assert {0, 1} < set(identity[split.gallery])     # junk and distractors are in the gallery
    proved = list(check(prepared))
    assert f"{len(split.multi_query)} images make multiple queries of them" in proved[3]


def test_junk_is_in_no_held_out_pair(prepared):
    manifest = load_manifest(prepared)
    judged = PairStore(prepared / "split00/test").epoch(0)[0::2]
    identity, camera = map(np.array, (manifest.images.identity, manifest.images.camera))
    assert 0 not in identity[judged["b"]]
    same = judged["same"] == 0
    assert np.all(camera[judged["a"][same]] != camera[judged["b"][same]])


def forged(prepared, out, change):
    """A copy of a prepared folder whose manifest was changed by `change(images, split)`."""
    shutil.copytree(prepared, out)
    edit(out / "manifest.json", lambda manifest: change(manifest["images"], manifest["splits"]["split00"]))
    return out


def test_multiple_queries_of_other_people_are_found(prepared, tmp_path):
    def change(images, split):
        split["multi_query"] = split["multi_query"][:3]
    with pytest.raises(NotProved, match="the multiple queries are not of the queries' identities"):
        list(check(forged(prepared, tmp_path / "out", change)))


def test_a_query_that_only_its_own_camera_matches_is_found(prepared, tmp_path):
    def change(images, split):
        first = split["query"][0]
        split["gallery"] = [place for place in split["gallery"]
                            if images["identity"][place] != images["identity"][first]
                            or images["camera"][place] == images["camera"][first]]
    with pytest.raises(NotProved, match="a query has no match by another camera"):
        list(check(forged(prepared, tmp_path / "out", change)))
