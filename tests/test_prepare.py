"""Preparing: what is written is what Caffe reads, the same bytes every time, and nothing is done twice."""

import gc
import multiprocessing
import os
import shutil
from dataclasses import asdict

import caffe
import cv2
import lmdb
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from records import edit

from data_prep import __main__ as command, prepare as module
from data_prep.prepare import prepare
from reid.common.errors import InputError
from reid.common.files import sha256_file, whole_directory, write_whole
from reid.formats import datum
from reid.formats.image_lmdb import ImageStore
from reid.formats.manifest import load_manifest
from reid.formats.pair_lmdb import PAIR, PairStore


def stored(raw, name):
    """What the image LMDB must hold of a raw image: planes of 256×256, BGR."""
    picture = cv2.imread(str(raw / name))
    return cv2.resize(picture, (256, 256), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)


@pytest.mark.parametrize("label", [0, 1, 127, 128, 13163])
def test_a_datum_has_the_bytes_that_protobuf_writes(label):
    image = np.random.default_rng(label).integers(0, 256, (7, 300, 3), np.uint8)
    planes = image.transpose(2, 0, 1)
    message = caffe_pb2.Datum(channels=3, height=7, width=300, label=label, data=planes.tobytes())
    assert datum.encode(image, label) == message.SerializeToString()
    decoded, number = datum.decode(message.SerializeToString())
    assert number == label and np.array_equal(decoded, planes)


@pytest.mark.parametrize("message", [
    b"", b"garbage", datum.encode(np.zeros((4, 4, 3), np.uint8), 1)[:-9],
    datum.encode(np.zeros((4, 4, 1), np.uint8), 1),
    caffe_pb2.Datum(channels=1, height=1, width=1, float_data=[1.5]).SerializeToString()])
def test_what_is_no_datum_is_refused(message):
    with pytest.raises(InputError, match="Datum"):
        datum.decode(message)


@pytest.fixture(scope="session")
def prepared_raw(generated_viper, tmp_path_factory):
    """As prepared_viper, with raw images."""
    folder = tmp_path_factory.mktemp("prepared") / "raw"
    prepare("viper", generated_viper, folder, splits=[0], epochs=3, store="raw")
    return folder


def test_caffes_own_data_layer_reads_the_images(prepared_viper, prepared_raw, generated_viper, tmp_path):
    manifest = load_manifest(prepared_viper)
    for folder in prepared_viper, prepared_raw:
        net = tmp_path / "net.prototxt"
        net.write_text('layer { name: "data" type: "Data" top: "data" top: "label" '
                       f'data_param {{ source: "{folder / "images"}" backend: LMDB batch_size: 48 }} }}')
        net = caffe.Net(str(net), caffe.TEST)
        net.forward()
        assert net.blobs["label"].data.tolist() == manifest.images.identity
        for place in (0, 30, 47):
            path = manifest.images.path[place]
            picture = (stored(generated_viper, path) if folder == prepared_raw
                       else cv2.imread(str(generated_viper / path)).transpose(2, 0, 1))
            assert np.array_equal(net.blobs["data"].data[place], picture.astype(np.float32))


def test_raw_and_encoded_images_are_the_same_to_the_byte(prepared_viper, prepared_raw):
    encoded, raw = (ImageStore(folder / "images") for folder in (prepared_viper, prepared_raw))
    assert (prepared_viper / "images/data.mdb").stat().st_size < .15 * 48 * 256 * 256 * 3
    for place in range(48):
        (ours, label), (theirs, number) = encoded.get(place), raw.get(place)
        assert np.array_equal(ours, theirs) and label == number and not ours.flags.writeable


@pytest.mark.parametrize("places", [range(48), [3, 4, 47], [40, 2, 40, 0], []])
def test_images_in_order(prepared_viper, prepared_raw, places, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, length, how: asked.append(start))
    store, plain = ImageStore(prepared_viper / "images"), ImageStore(prepared_raw / "images")
    found = list(store.in_order(places))
    assert len(found) == len(places) and bool(asked) == bool(places) and len(asked) == len(set(asked))
    for place, (image, label) in zip(places, found):
        assert np.array_equal(image, plain.get(place)[0]) and label == plain.get(place)[1]


def test_a_folder_keeps_its_store(prepared_raw, generated_viper, tmp_path):
    shutil.copytree(prepared_raw, tmp_path / "out")
    manifest = prepare("viper", generated_viper, tmp_path / "out", [3], epochs=3)
    assert manifest.store == "raw" and set(manifest.splits) == {"split00", "split03"}
    assert '"store"' not in (tmp_path / "out/manifest.json").read_text()     # as before there was a choice
    with pytest.raises(InputError, match="was prepared with store raw, not encoded; choose another --out"):
        prepare("viper", generated_viper, tmp_path / "out", [3], epochs=3, store="encoded")


def test_large_pictures_are_stored_raw(tmp_path):
    rng = np.random.default_rng(0)
    for identity in "abcd":
        for camera, shape in (("1", (257, 256, 3)), ("2", (256, 256, 3)), ("3", (20, 10, 3))):
            (tmp_path / f"raw/{identity}/{camera}").mkdir(parents=True)
            picture = rng.integers(0, 256, shape, np.uint8)
            cv2.imwrite(str(tmp_path / f"raw/{identity}/{camera}/x.png"), picture)
    prepare("folder", tmp_path / "raw", tmp_path / "out", [0], epochs=1)
    with lmdb.open(str(tmp_path / "out/images"), readonly=True, lock=False).begin() as transaction:
        encoded = [caffe_pb2.Datum.FromString(value).encoded for _, value in transaction.cursor()]
    # Random pixels do not compress: the PNG of 256×256 is larger than its planes.
    assert encoded == [False, False, True] * 4


def test_image_store(prepared_viper, generated_viper):
    store = ImageStore(prepared_viper / "images")
    image, label = store.get(25)
    assert len(store) == 48 and label == 1
    assert np.array_equal(image, stored(generated_viper, "cam_b/001_90.bmp"))


def test_an_array_outlives_its_store(prepared_viper):
    image = ImageStore(prepared_viper / "images").get(25)[0]
    pairs = PairStore(prepared_viper / "split00/train").epoch(0)
    gc.collect()
    assert image.sum() == ImageStore(prepared_viper / "images").get(25)[0].sum()
    assert set(pairs["same"]) == {0, 1} and not image.flags.writeable


def test_a_store_survives_a_fork(prepared_viper):
    store = ImageStore(prepared_viper / "images")
    expected = store.get(40)[0].sum()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    children = [context.Process(target=lambda: theirs.send((os.getpid(), store.get(40)[0].sum())))
                for _ in range(2)]
    for child in children:
        child.start()
    answers = dict(ours.recv() for _ in children)
    for child in children:
        child.join()
    assert len(answers) == 2 and set(answers.values()) == {expected} == {store.get(40)[0].sum()}


def test_pair_store(prepared_viper):
    train, test = (PairStore(prepared_viper / "split00" / role) for role in ("train", "test"))
    assert asdict(train.meta) == {
        "format": 1, "dataset": "viper", "split": 0, "seed": 0, "schedule": "literal", "classes": 12,
        "images": 48, "role": "train", "epochs": 3, "flip": True, "fixed_windows": False,
        "pairs_per_epoch": [120, 120, 120],
        "ratio_per_epoch": [1.0, 1.0, 1.033898]}     # 120 / 2.01 and 120 / 2.0201 positives: 60 and 59
    assert train.total == 360 and train.offsets.tolist() == [0, 120, 240, 360]
    assert train.epoch(1).dtype == PAIR and len(test.epoch(0)) == 48
    assert test.meta.role == "test" and test.meta.pairs_per_epoch == [48]
    assert np.array_equal(train.labels, test.labels)
    assert sorted(train.labels.tolist()) == [-1] * 24 + sorted(2 * list(range(12)))


def test_manifest(prepared_viper, generated_viper):
    manifest = load_manifest(prepared_viper)
    assert manifest.generated and (manifest.dataset, manifest.protocol) == ("viper", "single-shot")
    images = manifest.images
    assert images.path[24] == "cam_b/000_90.bmp" and images.camera == [1] * 24 + [2] * 24
    assert images.sha256[24] == sha256_file(generated_viper / "cam_b/000_90.bmp")
    file = prepared_viper / "images" / "data.mdb"
    assert asdict(manifest.image_lmdb) == {"sha256": sha256_file(file), "bytes": file.stat().st_size}
    split = manifest.splits["split00"]
    assert split.origin == "drawn, seed 0, #0" and split.classes == 12
    assert sorted(split.train + split.query + split.gallery) == list(range(48))


def test_the_images_are_stored_without_waste(prepared_raw):
    assert (prepared_raw / "images" / "data.mdb").stat().st_size < 1.03 * 48 * 256 * 256 * 3


def contents(folder):
    """Every file but the lock that Caffe leaves beside an LMDB it has read."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock.mdb")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_same_bytes_in_one_go_or_split_by_split(prepared_viper, generated_viper, tmp_path):
    prepare("viper", generated_viper, tmp_path / "steps", [3], epochs=3)
    prepare("viper", generated_viper, tmp_path / "steps", [0], epochs=3)
    steps, whole = contents(tmp_path / "steps"), contents(prepared_viper)
    assert {name for name in steps if "split03" not in name} == set(whole)
    assert all(steps[name] == whole[name] for name in whole if name != "manifest.json")


def test_what_is_whole_is_kept(generated_viper, tmp_path):
    prepare("viper", generated_viper, tmp_path / "out", [0], epochs=2)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    prepare("viper", generated_viper, tmp_path / "out", [0], epochs=2)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_an_interrupted_run_goes_on(prepared_viper, generated_viper, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_pairs", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare("viper", generated_viper, tmp_path / "out", [0], epochs=3)
    with pytest.raises(InputError, match="interrupted; run the same"):
        load_manifest(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images", "manifest.json"]
    prepare("viper", generated_viper, tmp_path / "out", [0], epochs=3)
    assert contents(tmp_path / "out") == contents(prepared_viper)


@pytest.mark.parametrize("changed, complaint", [
    ({"seed": 1}, "was prepared with seed 0, not 1"), ({"epochs": 4}, "epochs 2, not 4"),
    ({"schedule": "public"}, "schedule literal, not public"), ({"flip": False}, "flip True, not False")])
def test_other_settings_for_the_same_folder_are_refused(generated_viper, tmp_path, changed, complaint):
    prepare("viper", generated_viper, tmp_path / "out", [0], epochs=2)
    with pytest.raises(InputError, match=complaint):
        prepare("viper", generated_viper, tmp_path / "out", [0], **{"epochs": 2, **changed})


def test_flips_are_for_viper_only_unless_asked_for(tmp_path):
    for number in range(4):
        for camera in (1, 2):
            path = tmp_path / "raw" / f"p{number}" / str(camera) / "x.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), np.full((20, 10, 3), 10 * number + camera, np.uint8))
    assert not prepare("folder", tmp_path / "raw", tmp_path / "plain", [0], epochs=1).flip
    assert prepare("folder", tmp_path / "raw", tmp_path / "flipped", [0], epochs=1, flip=True).flip
    assert not PairStore(tmp_path / "plain/split00/train").epoch(0)["a_flip"].any()
    assert PairStore(tmp_path / "flipped/split00/train").epoch(0)["a_flip"].any()


def test_the_command_line(generated_viper, tmp_path, capsys):
    arguments = ["viper", "--raw", str(generated_viper), "--out", str(tmp_path / "out"), "--epochs", "2"]
    assert command.main([*arguments, "--split", "9", "--schedule", "public"]) == 0
    printed = capsys.readouterr().out
    assert "viper, generated data: 48 images of 24 identities, 1 splits, 2 epochs of pairs" in printed
    size = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert f"{size:,} bytes" in printed
    assert command.main([*arguments, "--split", "10"]) == 2
    assert "error: split 10: viper has splits 0 to 9" in capsys.readouterr().err


def test_files_appear_whole_or_not_at_all(tmp_path):
    write_whole(tmp_path / "a.txt", "first")
    with pytest.raises(TypeError):
        write_whole(tmp_path / "a.txt", 3)
    with whole_directory(tmp_path / "b") as folder:
        (folder / "x").write_text("first")
    with pytest.raises(RuntimeError), whole_directory(tmp_path / "b") as folder:
        (folder / "x").write_text("second")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "b/x").read_text() == "first"
    with whole_directory(tmp_path / "b") as folder:
        (folder / "y").write_text("third")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.txt", "b", "y"]


def test_manifest_of_another_format_is_refused(prepared_viper, tmp_path):
    shutil.copy(prepared_viper / "manifest.json", tmp_path)
    edit(tmp_path / "manifest.json", lambda manifest: manifest.update(format=99))
    with pytest.raises(InputError, match="format 99; this version reads format 1"):
        load_manifest(tmp_path)


def test_the_keys_of_the_image_lmdb_are_caffes(prepared_viper):
    with lmdb.open(str(prepared_viper / "images"), readonly=True, lock=False).begin() as transaction:
        keys = list(transaction.cursor().iternext(values=False))
    assert keys == [f"{place:08d}".encode() for place in range(48)]
