"""The checks before training, as a table; what is surprising; weights that are not what was recorded."""

import json
import shutil
from pathlib import Path

import pytest
from caffe.proto import caffe_pb2
from records import edit
from stages import run_stage, tiny_job

from reid.common.errors import InputError
from reid.common.files import sha256_file
from reid.engine.settings import defaults
from reid.formats.pair_lmdb import PairStore
from reid.nets import fit
from reid.nets.build import deploy_net
from reid.stages import preflight
from reid.stages.preflight import Row
from reid.stages.stage import check_stage

SMALL = ["batch=4", "max_iter=2", "display=1", "test_every=0", "snapshot_every=1", "workers=0"]


def job(data, out, init=None, *assignments, strict=False, base="tiny"):
    return tiny_job(data, out, *SMALL, *assignments, stage="mine", base=base, init=init, strict=strict)


@pytest.fixture(scope="module")
def trained(prepared_viper, tmp_path_factory):
    """The folder of a short run from random weights."""
    return run_stage(job(prepared_viper, tmp_path_factory.mktemp("runs")), [0])[0]


@pytest.fixture
def weights(trained, tmp_path):
    """Its weights as a file of their own, with a record beside."""
    file = tmp_path / "people.caffemodel"
    shutil.copy(trained / "snapshots/000002/weights.caffemodel", file)
    record(file)
    return file


def record(file, **other):
    about = {"name": "people", "base": "tiny", "sha256": sha256_file(file),
             "mean": list(defaults("tiny").mean), "origin": "somewhere", "licence": "free", **other}
    Path(f"{file}.json").write_text(json.dumps(about))


def change(file, how):
    """Change a caffemodel, and its record with it."""
    net = caffe_pb2.NetParameter()
    net.ParseFromString(file.read_bytes())
    how(net)
    file.write_bytes(net.SerializeToString())
    record(file)


def found(looked):
    return {row.what: row for row in looked.rows["split00"]}


def test_the_table_says_what_loads_and_what_does_not(weights, prepared_viper, tmp_path, capfd):
    change(weights, lambda net: net.layer.add(name="fc_other").blobs.add(data=[1.0]))
    folder, = run_stage(job(prepared_viper, tmp_path, weights), [0])
    log, printed = (folder / "log.txt").read_text(), capfd.readouterr().out
    for words in ("loads         10 layers, conv1 … res4_branch2b", "shapes        as in the net",
                  "unused        SURPRISE: fc_other", "starts fresh  id_fc, verif_fc",
                  "labels        0 … 11, head of 12",
                  "people: somewhere", "mean          103.939 116.779 123.68, that of people",
                  "MB free", "GB free", "have the manifest's sha256", "iterations    2 of 4 pairs"):
        assert words in log and words in printed, words
    assert log.index("pre-flight") < log.index("iteration 1/2")


def test_known_heads_and_the_classifier_of_imagenet_are_no_surprise():
    wanted = fit.parameters(deploy_net("resnet50", 8, 224, 224))
    layers = {name: [] for name in [*wanted, "fc1000", "id_fc_a", "id_fc_b", "verif_fc", "conv1_b"]}
    rows = preflight.weights_rows(wanted, layers, "resnet50")
    assert rows[0] == Row("loads", "159 layers, conv1 … scale5c_branch2c")
    assert not any(row.surprise for row in rows)
    assert rows[2].found == "5 layers, fc1000 … conv1_b (heads and classifiers)"
    assert preflight.weights_rows(wanted, {**layers, "fc8": []}, "resnet50")[2].surprise


def test_what_is_in_order_passes_strictly(weights, prepared_viper, tmp_path):
    assert not any(row.surprise for row in check_stage(job(prepared_viper, tmp_path, weights, strict=True),
                                                       [0]).rows["split00"])


def test_a_mean_that_is_not_the_weights_own(weights, prepared_viper, tmp_path):
    record(weights, mean=[100, 110, 120])
    row = found(check_stage(job(prepared_viper, tmp_path, weights), [0]))["mean"]
    assert row.surprise and row.found == "103.939 116.779 123.68, and people: somewhere had 100 110 120"
    with pytest.raises(InputError, match="stage mine split00: --strict refuses mean: 103.939"):
        check_stage(job(prepared_viper, tmp_path, weights, strict=True), [0])


def test_weights_of_unknown_origin(weights, prepared_viper, tmp_path):
    Path(f"{weights}.json").unlink()
    rows = found(check_stage(job(prepared_viper, tmp_path, weights), [0]))
    assert rows["weights"].surprise and "origin unknown" in rows["weights"].found
    assert "nothing says what the weights were trained with" in rows["mean"].found
    with pytest.raises(InputError, match="--strict refuses weights: people.caffemodel.*origin unknown"):
        check_stage(job(prepared_viper, tmp_path, weights, strict=True), [0])


def test_layers_that_nobody_knows(weights, prepared_viper, tmp_path):
    change(weights, lambda net: net.layer.add(name="fc_other").blobs.add(data=[1.0]))
    with pytest.raises(InputError, match="--strict refuses unused: fc_other"):
        check_stage(job(prepared_viper, tmp_path, weights, strict=True), [0])


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-100])


def exchanged(file):
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("spoil", [cut_short, exchanged])
def test_weights_that_are_not_what_is_recorded_are_refused(spoil, weights, trained, prepared_viper, tmp_path):
    spoil(weights)
    with pytest.raises(InputError, match="people.caffemodel: sha256 is .*people.caffemodel.json says"):
        check_stage(job(prepared_viper, tmp_path / "runs", weights), [0])
    shutil.copytree(trained, tmp_path / "mine/split00")
    file = tmp_path / "mine/split00/snapshots/000002/weights.caffemodel"
    spoil(file)
    with pytest.raises(InputError, match="000002/weights.caffemodel: sha256 is .*snapshot.json says"):
        check_stage(job(prepared_viper, tmp_path / "runs", file), [0])
    edit(file.parent / "snapshot.json", lambda facts: facts["sha256"].update({file.name: sha256_file(file)}))
    with pytest.raises(InputError, match="000002/weights.caffemodel: sha256 is .*result.json says"):
        check_stage(job(prepared_viper, tmp_path / "runs", file), [0])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("other, words", [
    (dict(mean=[1, 2]), r"mean is \[1, 2\]; it must be a list of 3"),
    (dict(licence=None), "licence is None; it must be a text"),
    (dict(base="resnet50-torchvision"),
     "weights of base resnet50-torchvision .people: somewhere., not of tiny"),
])
def test_a_record_that_does_not_fit_is_refused(other, words, weights, prepared_viper, tmp_path):
    record(weights, **other)
    with pytest.raises(InputError, match=f"people.caffemodel.*{words}"):
        check_stage(job(prepared_viper, tmp_path, weights), [0])


def test_a_damaged_record_and_missing_weights_are_refused(weights, prepared_viper, tmp_path):
    Path(f"{weights}.json").write_text("{")
    with pytest.raises(InputError, match="people.caffemodel.json: damaged"):
        check_stage(job(prepared_viper, tmp_path, weights), [0])
    with pytest.raises(InputError, match="absent.caffemodel: there is no such file"):
        check_stage(job(prepared_viper, tmp_path, tmp_path / "absent.caffemodel"), [0])


def test_an_lmdb_of_other_bytes_is_refused(prepared_viper, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(prepared_viper, data)
    file = data / "split00/train/data.mdb"
    content = bytearray(file.read_bytes())
    place = content.index(PairStore(data / "split00/train").epoch(1).tobytes()[:60])
    # a pair that is moved by another pixel: nothing else would notice
    content[place + 8] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="split00/train/data.mdb: sha256 is .*changed since it was prepared"):
        check_stage(job(data, tmp_path / "runs"), [0])


def test_changed_test_images_do_not_keep_their_features(trained, prepared_viper):
    run = check_stage(job(prepared_viper, trained.parents[1]), [0]).runs[0]
    assert run.has_before()
    run.evaluator.rows["query"] = run.evaluator.rows["query"][::-1]
    assert not run.has_before()
