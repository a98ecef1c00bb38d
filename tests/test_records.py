"""Records that are checked against themselves: no byte of one can change and still be believed."""

import json
import shutil

import numpy as np
import pytest
from records import FORGED, NESTED, edit, forge, load, places, store, unsigned
from stages import SHORT, run_stage, tiny_job

from data_prep.check import prove
from data_prep.prepare import prepare
from data_prep.splits.load import COMMITTED, committed
from reid.common.errors import InputError
from reid.common.rng import generator
from reid.formats import json_record, manifest, result, snapshot, weights_record
from reid.formats.pair_lmdb import PairStore
from reid.provenance import finished, lineage
from reid.stages import chain, plan, same
from reid.stages.plan import Request


@pytest.fixture
def trained(short_runs):
    """The folder of a short run. Read only."""
    return short_runs / "viper/split00"


@pytest.fixture
def records(prepared_viper, trained, tmp_path, monkeypatch):
    """{kind: (a file to damage, function that reads it)}."""
    for source in (prepared_viper / "manifest.json", trained / "result.json",
                   trained / "snapshots/000002/snapshot.json"):
        shutil.copy(source, tmp_path)
    monkeypatch.setitem(COMMITTED, "viper", shutil.copy(COMMITTED["viper"], tmp_path / "viper.json"))
    return {"manifest": (tmp_path / "manifest.json", lambda: manifest.load_manifest(tmp_path)),
            "result": (tmp_path / "result.json", lambda: result.read(tmp_path)),
            "snapshot": (tmp_path / "snapshot.json", lambda: snapshot.read(tmp_path)),
            "splits": (tmp_path / "viper.json", lambda: committed("viper"))}


@pytest.mark.parametrize("kind", ["manifest", "result", "snapshot", "splits"])
def test_a_changed_byte_is_refused_or_changes_nothing(records, kind):
    file, read = records[kind]
    whole, before = file.read_bytes(), read()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place] = rng.choice(list(b"0123456789"))
        file.write_bytes(damaged)
        try:
            assert read() == before, f"byte {place}"
        except InputError as error:
            refused += 1
            assert str(file) in str(error) and "\n" not in str(error)
    assert refused > 100


@pytest.mark.parametrize("kind", ["manifest", "result", "snapshot", "splits"])
@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"3", b"{}", b"[" * 100_000, b"\xff\xfe{}",
                                     b"\0" * 500, b'{"format": ' + b"9" * 5000 + b"}"])
def test_a_record_of_something_else_is_refused(records, kind, content):
    file, read = records[kind]
    file.write_bytes(content)
    with pytest.raises(InputError, match=str(file)):
        read()


@pytest.mark.parametrize("kind", ["manifest", "result", "snapshot"])
def test_a_record_of_before_there_were_checksums_is_read_and_said(records, kind, capsys):
    file, read = records[kind]
    before = read()
    assert capsys.readouterr().err == ""
    unsigned(file)
    assert read() == before == read()
    assert capsys.readouterr().err == f"note: {file}: has no checksum of its own, and is taken as it is\n"


def test_a_committed_split_without_its_checksum_is_refused(records):
    file, read = records["splits"]
    unsigned(file)
    with pytest.raises(InputError, match=f"{file}.*checksum"):
        read()


def test_a_digit_of_the_manifest_never_trains(prepared_viper, tmp_path):
    data = shutil.copytree(prepared_viper, tmp_path / "data")
    content = (data / "manifest.json").read_text()
    query = json.loads(content)["splits"]["split00"]["query"]
    (data / "manifest.json").write_text(content.replace(f'"query": [{query[0]}', f'"query": [{query[0] + 1}'))
    with pytest.raises(InputError, match=f"{data}/manifest.json: .*changed since it was written"):
        run_stage(tiny_job(data, tmp_path / "runs", *SHORT), [0])
    assert not (tmp_path / "runs").exists()


def test_preparing_again_signs_an_older_manifest(prepared_viper, generated_viper, tmp_path, capsys):
    data = shutil.copytree(prepared_viper, tmp_path / "data")
    unsigned(data / "manifest.json")
    prepare("viper", generated_viper, data, splits=[1], epochs=3)
    assert "no checksum" in capsys.readouterr().err
    assert "checksum" in json.loads((data / "manifest.json").read_text())


def command(data, out):
    chains = out.parent / "stages.yaml"
    chains.write_text("chains: {all: {viper: {parent: random}}}\n")
    return Request(stage="viper", data=data, out=out, base="tiny", objective="vi", splits=[0],
                   assignments=SHORT, init=None, gpu=None, chains=chain.load(chains), chain=None,
                   catalogue=None, strict=False, check_data=prove)


def trains_and_is_tested(content):
    split = content["splits"]["split00"]
    split["query"][0] = split["train"][0]


def other_labels(content):
    content["images"]["identity"].reverse()


@pytest.mark.parametrize("change, words", [(trains_and_is_tested, "an identity trains and is tested"),
                                           (other_labels, "image 0 has label 0, not 23")])
def test_training_refuses_what_the_check_of_prepared_data_does(prepared_viper, tmp_path, change, words):
    data = shutil.copytree(prepared_viper, tmp_path / "data")
    edit(data / "manifest.json", change)
    with pytest.raises(InputError, match=f"{data}.*{words}.*prepare the data again"):
        plan.run(command(data, tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def readers(prepared_viper, trained, tmp_path, monkeypatch):
    """{kind: (a record, function that reads it and what it is of)}."""
    run, data = shutil.copytree(trained, tmp_path / "run"), shutil.copytree(prepared_viper, tmp_path / "data")
    done = finished.read(run)
    asked = {key: getattr(done, key) for key in same.ASKED}
    halved = shutil.copytree(run, tmp_path / "half", ignore=shutil.ignore_patterns("result.json"))
    weights = tmp_path / "w.caffemodel"
    weights_record.write(weights, b"w", name="w", base="tiny", mean=(1, 2, 3), origin="o", licence="l")
    monkeypatch.setitem(COMMITTED, "cuhk03", shutil.copy(COMMITTED["cuhk03"], tmp_path / "cuhk03.json"))

    def resume():
        same.check_same(halved, asked, True)
        same.check_head(halved, "fresh")
    return {"result": (run / "result.json", lambda: (same.check_same(run, asked, True), lineage.walk(run))),
            "snapshot": (halved / "snapshots/000002/snapshot.json",
                         lambda: (snapshot.read(halved / "snapshots/000002"), resume())),
            "start": (halved / "start.json", lambda: same.read_start(halved)),
            "settings": (halved / "settings.yaml", resume),
            "manifest": (data / "manifest.json", lambda: manifest.load_manifest(data)),
            "pairs": (data / "split00/train/data.mdb", lambda: PairStore(data / "split00/train")),
            "weights": (tmp_path / "w.caffemodel.json", lambda: weights_record.read(weights)),
            "splits": (tmp_path / "cuhk03.json", lambda: committed("cuhk03"))}


# Remarks, which nothing reads
FREE = {"dataset", "seed", "made_by", "gpu", "stamp", "data_seed"}


def test_a_record_that_fits_its_checksum_and_is_of_another_shape(readers):
    """One value of a whole record is another, and it is signed anew: a sentence, or another whole record."""
    random, refused = generator(0, "forged"), 0
    for kind, (file, read) in readers.items():
        read()
        whole, content = file.read_bytes(), load(file)
        everywhere = list(places(content))
        for number in random.integers(0, len(everywhere), 20):
            place, value = everywhere[number], FORGED[random.integers(len(FORGED))]
            if (other := forge(content, place, value)) is None:
                continue
            store(file, other)
            try:
                read()
                assert value != NESTED or place[-1] in FREE, f"{kind}: {place} may be {value}"
            except InputError as error:
                refused += 1
                assert str(error).startswith(str(file.parent)), f"{kind}: {place}: {value}"
        file.write_bytes(whole)
    assert refused > 100


def test_signing_twice_or_in_another_order_is_the_same():
    content = {"b": [1, 2.5, None], "a": {"y": "ü", "x": 1e-7}}
    again = dict(sorted(json_record.signed(content).items()))
    again.pop("checksum")
    assert json_record.signed(again)["checksum"] == json_record.signed(content)["checksum"]
