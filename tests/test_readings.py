"""Other readings of the pairs, and identities held out for validation: by hand, prepared, proved, trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import caffe
import numpy as np
import pytest
from google.protobuf import text_format
from records import edit
from stages import SHORT, run_stage, tiny_job
from test_pairs import CAMERA, IDENTITY, IMAGES, identity_of

from data_prep.check import NotProved, check
from data_prep.index import Image, Index
from data_prep.pairs import CROP_REACH, Partners, train_epoch, translations
from data_prep.people.write import write
from data_prep.prepare import prepare
from data_prep.splits.load import load_split
from data_prep.splits.validation import hold_out
from reid.common.errors import InputError
from reid.common.rng import generator
from reid.engine.settings import defaults, override
from reid.formats import result as result_file
from reid.formats.image_lmdb import ImageStore
from reid.formats.manifest import READINGS, load_manifest
from reid.formats.pair_lmdb import PairStore
from reid.layers.feed import PairFeed
from reid.layers.source import Source
from reid.nets import fit
from reid.nets.by_hand import feed_by_hand
from reid.nets.prototxt import stage_nets
from reid.nets.shapes import shaped
from reid.report.paper import load as load_paper
from reid.report.results import gather
from reid.report.table import as_text, tables
from reid.stages.preflight import weights_rows
from reid.stages.recipe import check_prepared, load

ROOT = Path(__file__).resolve().parents[1]
MOVES = translations(25, 0)


def epochs(count=40, ratio=1, flip=True, **readings):
    pairing = {key: readings.pop(key) for key in ("positives", "negatives") if key in readings}
    partners = Partners(IMAGES, IDENTITY, CAMERA, **pairing)
    return [train_epoch(partners, MOVES, ratio, flip, generator(0, "pairs", 0, number), **readings)
            for number in range(count)]


# The pairs, by hand

def test_each_image_is_the_anchor_once():
    drawn = []
    for pairs in epochs(anchors="images"):
        assert sorted(pairs["a"].tolist()) == IMAGES.tolist() and np.sum(pairs["same"] == 0) == 5
        drawn += pairs[["a", "a_dy", "a_dx"]].tolist()
    assert set(drawn) == {(image, *move) for image in IMAGES for move in MOVES[image].tolist()}


def test_both_copies_are_anchors():
    expected = sorted((image, *move, flip) for image in IMAGES for move in MOVES[image].tolist()
                      for flip in (0, 1))
    for pairs in epochs(3, mirror="both"):
        assert sorted(pairs[["a", "a_dy", "a_dx", "a_flip"]].tolist()) == expected
        assert 30 < pairs["b_flip"].sum() < 70      # of 100, a fair coin
    assert [len(pairs) for pairs in epochs(1, flip=False, mirror="both")] == [50]    # nothing is mirrored


def test_positives_come_from_any_camera():
    pairs = np.concatenate(epochs(positives="any"))
    positives = pairs[pairs["same"] == 0]
    partners = {image: set(positives["b"][positives["a"] == image].tolist()) for image in IMAGES}
    assert partners[3] == {4, 5} and partners[4] == {3, 5} and partners[5] == {3, 4}


def test_negatives_are_uniform_over_the_other_identities():
    partners = Partners(IMAGES, IDENTITY, CAMERA, negatives="identities")
    for place in range(len(IMAGES)):
        drawn = partners.negative(np.full(6000, place), generator(0, "test", place))
        counts = np.bincount(drawn, minlength=len(IMAGES))
        for identity in (7, 8, 9):
            own = IDENTITY == identity
            expected = 0 if identity == IDENTITY[place] else 3000
            assert abs(counts[own].sum() - expected) < 200 * (expected > 0) + 1     # five deviations
            assert np.abs(counts[own] - expected / own.sum()).max() < 200 * (expected > 0) + 1


def test_pairs_of_other_readings_say_the_truth_too():
    pairs = np.concatenate(epochs(anchors="images", positives="any", negatives="identities"))
    assert np.array_equal(identity_of(pairs["a"]) == identity_of(pairs["b"]), pairs["same"] == 0)
    assert np.all(pairs["a"] != pairs["b"])


def test_five_crops_reach_from_corner_to_corner():
    moves = translations(500, 1, CROP_REACH)
    assert moves.min() == -16 and moves.max() == 16      # (256 − 224) / 2
    assert all(len(set(map(tuple, five))) == 5 for five in moves.tolist())


# Prepared and proved

OTHER = {key: values[1] for key, values in READINGS.items()}


@pytest.mark.parametrize("readings", [*({key: value} for key, value in OTHER.items()), OTHER],
                         ids=[*OTHER, "all"])
def test_what_is_prepared_is_proved(readings, generated_viper, tmp_path):
    manifest = prepare("viper", generated_viper, tmp_path / "out", [0], epochs=2, readings=readings)
    assert load_manifest(tmp_path / "out").readings == manifest.readings == readings
    proved = list(check(tmp_path / "out"))[4]
    assert all(f"{key}: {value}" in proved for key, value in readings.items())
    prepare("viper", generated_viper, tmp_path / "out", [0], epochs=2, readings=readings)    # kept
    with pytest.raises(InputError, match="was prepared with readings"):
        prepare("viper", generated_viper, tmp_path / "out", [0], epochs=2)


@pytest.mark.parametrize("key", [key for key in OTHER if key != "negatives"])
def test_a_manifest_that_claims_another_reading_is_not_proved(key, tmp_path):
    """Drawing negatives by identity shows in shares alone; all others show."""
    write(tmp_path / "raw", "cuhk01", identities=10, seed=3)      # two images a view
    prepare("cuhk01", tmp_path / "raw", tmp_path / "out", [0], epochs=2, flip=True,
            readings={key: OTHER[key]})
    edit(tmp_path / "out/manifest.json", lambda manifest: manifest.pop("readings"))
    with pytest.raises(NotProved):
        list(check(tmp_path / "out"))


@pytest.mark.parametrize("readings", [{"anchors": "pairs"}, {"colour": "any"}])
def test_a_manifest_with_an_unknown_reading_is_damaged(readings, prepared_viper, tmp_path):
    shutil.copy(prepared_viper / "manifest.json", tmp_path)
    edit(tmp_path / "manifest.json", lambda manifest: manifest.update(readings=readings))
    with pytest.raises(InputError, match=r"manifest.json: damaged: \w+ '\w+': the readings are .*; delete"):
        load_manifest(tmp_path)


def test_the_default_readings_leave_no_trace(prepared_viper, generated_viper, tmp_path):
    defaults = {key: values[0] for key, values in READINGS.items()}
    prepare("viper", generated_viper, tmp_path / "out", [0], epochs=3, readings=defaults)
    for name in ("manifest.json", "split00/train/data.mdb", "split00/test/data.mdb"):
        assert (tmp_path / "out" / name).read_bytes() == (prepared_viper / name).read_bytes()
    assert not {"readings", "validation"} & json.loads((tmp_path / "out/manifest.json").read_text()).keys()


@pytest.mark.parametrize("given, words", [
    (dict(readings={"anchors": "pairs"}), "anchors 'pairs'"),
    (dict(readings={"mirror": "both"}, flip=False), "mirror both: nothing is mirrored"),
    (dict(validation=3), "viper does not fix who trains")])
def test_what_cannot_be_meant_is_refused(given, words, generated_viper, tmp_path):
    with pytest.raises(InputError, match=words):
        prepare("viper", generated_viper, tmp_path / "out", [0], epochs=1, **given)


# What the net sees

def test_fixed_crops_are_cut_as_they_are(generated_viper, tmp_path):
    """The window is the crop that the pair names, whatever the seed of the run."""
    prepare("viper", generated_viper, tmp_path / "out", [0], epochs=1, flip=False,
            readings={"copies": "crops"})
    seen = []
    for seed in (0, 1):
        feed = PairFeed(Source(str(tmp_path / "out/split00/train"), str(tmp_path / "out/images"), 4, 224, 224,
                               224, (0, 0, 0), seed, 0))
        crops = np.empty((8, 3, 224, 224), np.uint8)
        feed.fill(0, crops)
        seen.append(crops)
    np.testing.assert_array_equal(*seen)
    images, pairs = ImageStore(tmp_path / "out/images"), PairStore(tmp_path / "out/split00/train").epoch(0)
    for place in range(4):
        top, left = 16 - int(pairs["a_dy"][place]), 16 - int(pairs["a_dx"][place])
        whole = images.get(int(pairs["a"][place]))[0]
        np.testing.assert_array_equal(seen[0][place], whole[:, top:top + 224, left:left + 224])


def test_a_recipe_asks_for_a_reading(prepared_viper, tmp_path):
    (tmp_path / "mine.yaml").write_text("title: t\nsource: s\nprepared: {anchors: images}\n")
    mine = load(tmp_path / "mine.yaml")
    manifest = load_manifest(prepared_viper)
    with pytest.raises(InputError, match="prepared with anchors copies, .* for images; .* --anchors images"):
        check_prepared(mine, prepared_viper, manifest)
    check_prepared(mine, prepared_viper, replace(manifest, readings={"anchors": "images"}))


def test_runs_of_two_readings_are_two_rows(prepared_viper, generated_viper, tmp_path):
    prepare("viper", generated_viper, tmp_path / "data", [0], epochs=3, readings={"anchors": "images"})
    for data, out in ((prepared_viper, "one"), (tmp_path / "data", "other")):
        run_stage(tiny_job(data, tmp_path / "runs" / out, "epochs=0"), [0])
    section, = gather(tmp_path / "runs")
    names = {group.name.rpartition(", ")[2] for group in section.groups}
    assert names == {"anchors=copies", "anchors=images"}


# Validation identities

def small_index():
    """Identities 1–6 train: 1 by three cameras, 2, 1 and 3 images; the others by two, one image each."""
    names = ["0001_c1_a", "0001_c1_b", "0001_c2_a", "0001_c3_a", "0001_c3_b", "0001_c3_c"]
    names += [f"000{person}_c{camera}_a" for person in range(2, 7) for camera in (1, 2)]
    images = [Image(name, name[:4], int(name[6]), "train") for name in names]
    tested = [Image("q", "0009", 1, "query"), Image("g", "0009", 2, "gallery")]
    return Index("market1501", "root", (*images, *tested), "market1501")


def test_held_out_identities_are_searched_for_as_the_datasets_own():
    found = set()
    for seed in range(20):
        index = hold_out(small_index(), 3, seed)
        assert "0009" not in index.identities() and len(index.images) == 16      # no test image is there
        split = load_split(index, 0, seed)
        assert split.origin == f"3 training identities held out for validation, seed {seed}"
        people = {role: {index.images[place].identity for place in getattr(split, role)}
                  for role in ("train", "query", "gallery")}
        assert len(people["query"]) == 3 and people["query"] == people["gallery"]
        assert not people["train"] & people["query"] and len(people["train"]) == 3
        views = [(index.images[place].identity, index.images[place].camera) for place in split.query]
        assert len(set(views)) == len(views)
        asked = sorted(camera for identity, camera in views if identity == "0001")
        assert asked in ([], [1, 3])         # a query of each camera with several images
        for identity, camera in views:
            gallery = {index.images[place].camera for place in split.gallery
                       if index.images[place].identity == identity}
            assert gallery - {camera}
            assert identity == "0001" or (camera, gallery) == (1, {2})
        found.add(tuple(sorted(people["query"])))
    assert len(found) > 5
    assert hold_out(small_index(), 3, 4) == hold_out(small_index(), 3, 4)
    for count in (1, 5, -1):
        with pytest.raises(InputError, match="6 training identities; give from 2 to 4"):
            hold_out(small_index(), count, 0)


def test_validation_of_market1501_is_prepared_proved_and_kept_apart(tmp_path):
    write(tmp_path / "raw", "market1501", identities=16, seed=1)
    manifest = prepare("market1501", tmp_path / "raw", tmp_path / "data", epochs=3, validation=4)
    assert load_manifest(tmp_path / "data").validation == 4 and not manifest.splits["split00"].multi_query
    assert not {"-1", "0000"} & set(manifest.identities)
    assert all(path.startswith("bounding_box_train/") for path in manifest.images.path)
    said = list(check(tmp_path / "data"))
    assert "4 training identities held out for validation, seed 0" in said[3]
    assert "4 others are tested" in said[3]
    folder, = run_stage(tiny_job(tmp_path / "data", tmp_path / "runs", *SHORT, stage="market1501"), [0])
    result = result_file.read(folder)
    assert (result.validation, result.train_identities, result.test_identities) == (4, 4, 4)
    edit(folder / "result.json", lambda facts: facts.update(generated=False))
    section, = gather(tmp_path / "runs")
    assert section.dataset == "market1501, 4 training identities held out for validation"
    printed = load_paper(ROOT / "experiments/paper.yaml")
    assert "paper" not in "".join(map(as_text, tables(section, printed)))
    edit(folder / "result.json", lambda facts: facts.update(validation=0, base="resnet50"))
    section, = gather(tmp_path / "runs")      # what is printed beside the paper's rows otherwise
    assert "paper" in "".join(map(as_text, tables(section, printed)))


# VGG-16's other feature

def test_vgg16_up_to_pool5(tmp_path):
    """The same layers up to pool5, none after it; the heads take its 512 × 7 × 7 numbers."""
    settings = override(defaults("vgg16"), ["feature=pool5"])
    nets = stage_nets("vgg16", "vi", 7, settings, "images", "pairs")
    usual = stage_nets("vgg16", "vi", 7, defaults("vgg16"), "images", "pairs")
    for name, net in nets.items():
        layers, before = ({layer.name: layer for layer in one.layer} for one in (net, usual[name]))
        assert not {"fc6", "fc7", "relu6", "mask6", "drop6"} & layers.keys()
        up_to = [*before][:[*before].index("pool5") + 1]
        assert [*layers][:len(up_to)] == up_to
        assert all(layers[one] == before[one] for one in up_to)
    shapes = {of.layer.name: of for of in shaped(nets["train"])}
    assert shapes["mask"].tops == [(48, 512, 7, 7)] and shapes["id_fc_a"].params[0] == (7, 25088)
    assert nets["train"].layer[-1].name == "loss_verif"
    for name in ("train", "deploy"):      # real Caffe takes them, at a small input
        small = override(settings, ["input=32x32", "batch=2"])
        net = stage_nets("vgg16", "vi", 7, small, "images", "pairs")[name]
        if name == "train":
            feed_by_hand(net)
        (tmp_path / name).write_text(text_format.MessageToString(net))
        made = caffe.Net(str(tmp_path / name), caffe.TRAIN if name == "train" else caffe.TEST)
        made.forward()
        if name == "train":
            made.backward()
            assert tuple(made.blobs["square"].shape) == (2, 512, 1, 1)
        else:
            assert made.outputs == ["pool5"] and tuple(made.blobs["pool5"].shape) == (8, 512, 1, 1)


def test_the_rest_of_the_file_is_no_surprise():
    names = {name: [] for name in fit.backbone("vgg16")}
    wanted = fit.parameters(stage_nets("vgg16", "vi", 7, override(defaults("vgg16"), ["feature=pool5"]),
                                       "images", "pairs")["deploy"])
    unused = weights_rows(wanted, {**names, "fc8": []}, "vgg16")[2]
    assert not unused.surprise and "fc6" in unused.found
    assert weights_rows(wanted, {**names, "other": []}, "vgg16")[2].surprise


def test_a_feature_that_a_backbone_does_not_give_is_refused():
    for base, words in (("resnet50", "resnet50 gives pool5"), ("vgg16", "vgg16 gives fc7 or pool5")):
        with pytest.raises(InputError, match=f"feature fc6: {words}"):
            stage_nets(base, "vi", 7, override(defaults(base), ["feature=fc6"]), "images", "pairs")
