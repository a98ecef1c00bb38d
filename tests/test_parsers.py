"""Each parser that is ours reads what it wrote, and ends in an InputError at anything else."""

import csv
import io
import json
import string
from pathlib import Path

import numpy as np
import pytest
from caffe.proto import caffe_pb2
from hypothesis import HealthCheck, example, given, settings, strategies as st

from data_prep.readers import table as own_table
from reid.common.errors import InputError
from reid.engine import alarms, tables
from reid.engine.settings import Settings, as_plain, as_text, defaults, override
from reid.formats import datum, json_record, manifest, picture, result, snapshot, weights_record, yaml_file
from reid.formats.caffemodel import fits, parse_caffemodel, serialise, shape, values
from reid.formats.feature_file import read_features, write_features
from reid.layers.source import Source
from reid.metrics import per_query
from reid.stages import chain, recipe
from weights import formats, pth

SAMPLES = Path(__file__).with_name("samples")
settings.register_profile("same every time", derandomize=True, deadline=None, database=None, max_examples=40,
                          suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("same every time")
NAMES = st.text(string.ascii_letters + "_/é", min_size=1, max_size=8)
ARRAYS = st.lists(st.integers(0, 4), max_size=4).map(
    lambda dims: np.arange(np.prod(dims, dtype=int), dtype=np.float32).reshape(dims) - 1.5)
LAYERS = st.dictionaries(NAMES, st.lists(ARRAYS, min_size=1, max_size=3), min_size=1, max_size=4)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner,
                                                                                max_size=3), max_leaves=9)
# Text that is almost what tables and settings hold, and bytes of any kind
LINES = st.text("iteration,lospahcmer0123456789.-E+\"\n\r\0 é=:[]{}#&*!|>%@`'", max_size=120).map(str.encode)


def changed(content, changes):
    """Bytes after changes (place, value): a value over 255 cuts there."""
    content = bytearray(content)
    for place, value in changes:
        if content and value > 255:
            del content[place % len(content):]
        elif content:
            content[place % len(content)] = value
    return bytes(content)


CHANGES = st.lists(st.tuples(st.integers(0, 10 ** 6), st.integers(0, 260)), min_size=1, max_size=5)


def refused_or(function, *arguments):
    """What a parser gives, or None where it refuses in one sentence."""
    try:
        return function(*arguments)
    except InputError as error:
        assert str(error)
        return None


@given(LAYERS)
def test_a_caffemodel_is_what_was_written(layers):
    found = parse_caffemodel(serialise("net", layers), "file")
    assert list(found) == list(layers)
    for name, arrays in layers.items():
        for blob, array in zip(found[name], arrays, strict=True):
            assert shape(blob) == array.shape and fits(blob, array.shape)
            np.testing.assert_array_equal(values(blob), array.ravel())


@given(LAYERS, CHANGES)
def test_a_changed_caffemodel_is_refused_or_whole(layers, changes):
    found = refused_or(parse_caffemodel, changed(serialise("net", layers), changes), "file") or {}
    for blobs in found.values():
        for blob in blobs:
            assert values(blob).size == np.prod(shape(blob), dtype=int)


@given(st.binary(max_size=300) | st.builds(lambda net: net.SerializeToString(), st.builds(
    caffe_pb2.NetParameter, name=NAMES)))
@example(b"")
def test_any_bytes_as_a_caffemodel(content):
    refused_or(parse_caffemodel, content, "file")


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4))
def test_a_record_is_what_was_signed(tmp_path, content):
    content.pop(json_record.CHECKSUM, None)
    (tmp_path / "x").write_text(json.dumps(json_record.signed(content)))
    found = json_record.load(tmp_path / "x", "make it again")
    assert json.dumps(found, sort_keys=True) == json.dumps(content, sort_keys=True)


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), CHANGES)
def test_a_changed_record_is_refused_or_the_same(tmp_path, content, changes):
    content.pop(json_record.CHECKSUM, None)
    text = json.dumps(json_record.signed(content)).encode()
    (tmp_path / "x").write_bytes(changed(text, changes))
    found = refused_or(json_record.load, tmp_path / "x", "make it again")
    if found is not None and json_record.CHECKSUM.encode() in changed(text, changes):
        assert json.dumps(found, sort_keys=True) == json.dumps(content, sort_keys=True)


@pytest.mark.parametrize("name, read", [
    ("manifest.json", manifest.load_manifest), (result.NAME, result.read), (snapshot.FACTS, snapshot.read),
    ("x.json", lambda folder: weights_record.read(folder / "x"))])
@given(JSON.map(json.dumps).map(str.encode) | st.binary(max_size=80))
def test_any_json_as_a_record(tmp_path, name, read, content):
    (tmp_path / name).write_bytes(content)
    assert refused_or(read, tmp_path) is None


@pytest.mark.parametrize("read", [tables.read, lambda path: alarms.alarms(path.parent),
                                  lambda path: tables.Table(path, 3).close(), own_table.read, yaml_file.read,
                                  chain.load, recipe.load, read_features])
@given(LINES | st.binary(max_size=200))
def test_any_bytes_as_a_table_or_yaml(tmp_path, read, content):
    path = tmp_path / "alarms.csv"
    path.write_bytes(content)
    refused_or(read, path)


@given(st.lists(st.text(string.printable + "é", max_size=14), max_size=3))
def test_any_text_as_settings(assignments):
    refused_or(override, defaults("tiny"), assignments)


@given(st.sampled_from(list(Settings.__dataclass_fields__)), st.text("0123456789.,x-einafotrucd", max_size=8))
def test_a_setting_is_refused_or_reads_back(key, text):
    found = refused_or(override, defaults("tiny"), [f"{key}={text}"])
    if found is not None:
        again = override(defaults("tiny"), [f"{key}={as_text(getattr(found, key))}"])
        assert as_plain(again) == as_plain(found)


@given(JSON.map(json.dumps) | st.text(max_size=40))
def test_any_text_as_the_parameters_of_the_pair_layer(text):
    assert refused_or(Source.parse, text) is None


STARTS = (b"\x89PNG\r\n\x1a\n", b"BM", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8 ", b"RIFF\0\0\0\0WEBPVP8X",
          b"II*\0", b"P6 ", b"")


@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_any_bytes_as_a_picture(tmp_path, start, rest):
    content = start + rest
    size = picture.claimed(content)
    assert size is None or all(isinstance(side, int) and side >= 0 for side in size)
    (tmp_path / "x").write_bytes(content)
    found = refused_or(picture.read_picture, tmp_path / "x")
    assert found is None or found.dtype == np.uint8


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10 ** 6), CHANGES)
def test_an_image_in_a_database(height, width, label, changes):
    image = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    message = datum.encode(image, label)
    found, number = datum.decode(message)
    np.testing.assert_array_equal(found.transpose(1, 2, 0), image)
    assert number == label
    refused_or(datum.decode, changed(message, changes))


@pytest.mark.parametrize("name", ["state_zip.pth", "state_legacy.pth"])
@given(CHANGES)
def test_a_changed_state_dict(tmp_path, name, changes):
    (tmp_path / name).write_bytes(changed((SAMPLES / name).read_bytes(), changes))
    if formats.of(tmp_path / name) == "torch":
        refused_or(pth.read, tmp_path / name)


@given(CHANGES)
def test_a_changed_feature_file_is_refused_or_the_same(tmp_path, changes):
    features = np.arange(6, dtype=np.float32).reshape(3, 2) + 1
    write_features(tmp_path / "x.npz", features, ["a", "b", "c"], [1, 2, 3], ["x", "y", "z"])
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(changed(whole, changes))
    found = refused_or(read_features, tmp_path / "x.npz")
    if found is not None:
        np.testing.assert_array_equal(found["features"], features)
        assert found["ids"].tolist() == ["a", "b", "c"] and found["cams"].tolist() == [1, 2, 3]


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0/"), min_size=1))
@example("carriage\rreturn")
@example('quote"d, and\nmore')
def test_a_table_of_queries_gives_back_any_name(name):
    text = per_query.as_csv([{"split": 0, "name": name, "camera": 1}])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["split", "name", "camera"], ["0", name, "1"]]
    assert text.startswith("split,name,camera\n") and text.endswith(",1\n")
