"""The proof of a prepared folder: it passes what is right, and each kind of forgery is found and named."""

import shutil

import lmdb
import numpy as np
import pytest
from records import edit

from data_prep import check as module
from data_prep.check import NotProved, check
from reid.common.files import sha256_file
from reid.formats.pair_lmdb import PAIR


@pytest.fixture
def prepared(prepared_viper, tmp_path):
    shutil.copytree(prepared_viper, tmp_path / "copy")
    return tmp_path / "copy"


def rewrite(folder, key, change):
    """Change one value of an LMDB in place and sign it anew, as a faulty writer would have."""
    with lmdb.open(str(folder), map_size=1 << 26, lock=False) as environment:
        with environment.begin(write=True) as values:
            values.put(key, change(values.get(key)))
    out = folder.parent if folder.name == "images" else folder.parent.parent
    facts = {"sha256": sha256_file(folder / "data.mdb"), "bytes": (folder / "data.mdb").stat().st_size}

    def enter(manifest):
        if folder.name == "images":
            manifest["image_lmdb"] = facts
        else:
            manifest["splits"][folder.parent.name][f"{folder.name}_pairs"] = facts
    edit(out / "manifest.json", enter)


def forged(change):
    """Apply `change(pairs)` to an epoch's bytes."""
    def on_bytes(value):
        pairs = np.frombuffer(value, PAIR).copy()
        change(pairs)
        return pairs.tobytes()
    return on_bytes


def test_a_prepared_folder_is_proved(prepared_viper, capsys):
    assert module.main([str(prepared_viper)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[0].startswith("3 databases have the bytes")
    assert "negatives per positive 1.000 to 1.034 (literal)" in lines[4]


def self_pair(pairs):
    pairs["b"][0] = pairs["a"][0]


def wrong_truth(pairs):
    pairs["same"][7] ^= 1


def far_translation(pairs):
    pairs["b_dy"][3] = 13


def foreign_translation(pairs):
    pairs["b_dx"] = 0


def anchor_twice(pairs):
    pairs[5] = pairs[6]


def too_many_flips(pairs):
    pairs["a_flip"] = pairs["b_flip"] = 1


def wrong_ratio(pairs):
    """Turn a negative pair into a right positive one."""
    positives = pairs[pairs["same"] == 0]
    place = next(place for place, pair in enumerate(pairs)
                 if pair["same"] == 1 and pair["a"] in positives["a"])
    model = positives[positives["a"] == pairs["a"][place]][0]
    for field in ("b", "b_dy", "b_dx", "same"):
        pairs[field][place] = model[field]


@pytest.mark.parametrize("change, complaint", [
    (self_pair, "an image is paired with itself"), (wrong_truth, "`same` contradicts the identities"),
    (far_translation, "a translation of 13 pixels"), (foreign_translation, "b has a translation of its own"),
    (anchor_twice, "an augmented image is not the anchor of exactly one pair"),
    (too_many_flips, "100% are mirrored"),
    (wrong_ratio, "60 of 120 pairs are positive, which is not 1 to 1.020")])
def test_forged_training_pairs_are_found(prepared, change, complaint):
    rewrite(prepared / "split00/train", b"epoch/00002", forged(change))
    with pytest.raises(NotProved, match=f"split00/train, epoch 2: {complaint}"):
        list(check(prepared))


def held_out_trains(pairs):
    pairs["a"][0] = pairs["a"][1]


def shown_strangers(pairs):
    pairs["b"][1] = next(place for place in pairs["b"][1::2] if place != pairs["b"][1])


@pytest.mark.parametrize("change, complaint", [
    (held_out_trains, "not a query and a gallery image"),
    (shown_strangers, "not two views of a training identity")])
def test_forged_held_out_pairs_are_found(prepared, change, complaint):
    rewrite(prepared / "split00/test", b"epoch/00000", forged(change))
    with pytest.raises(NotProved, match=complaint):
        list(check(prepared))


def test_wrong_labels_are_found(prepared):
    rewrite(prepared / "split00/train", b"labels", lambda value: value[4:] + value[:4])
    with pytest.raises(NotProved, match="split00/train: the labels are not the classes"):
        list(check(prepared))


def test_a_wrong_label_of_an_image_is_found(prepared):
    rewrite(prepared / "images", b"00000030", lambda value: value[:-3] + b"\x01" + value[-2:])
    with pytest.raises(NotProved, match="image 30 has label 1, not 6"):
        list(check(prepared))


def test_a_single_changed_byte_is_found(prepared, capsys):
    with open(prepared / "images/data.mdb", "r+b") as stream:
        stream.seek(-5000, 2)
        byte = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte[0] ^ 1]))
    assert module.main([str(prepared)]) == 1
    error = capsys.readouterr().err
    assert error == f"not proved: {prepared}/images/data.mdb: its SHA-256 is not the manifest's\n"


def test_an_identity_on_both_sides_is_found(prepared):
    def forge(manifest):
        split = manifest["splits"]["split00"]
        split["query"][0] = split["train"][0]
    edit(prepared / "manifest.json", forge)
    with pytest.raises(NotProved, match="split00: an identity trains and is tested"):
        list(check(prepared))


def test_a_folder_without_manifest(tmp_path, capsys):
    assert module.main([str(tmp_path)]) == 2
    assert f"error: {tmp_path}/manifest.json: there is no such file" in capsys.readouterr().err
