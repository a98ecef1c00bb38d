"""Chains of stages, on generated people with the tiny net.

The file, what runs, what is kept, what is refused.
"""

import json
import shutil
from functools import partial
from pathlib import Path

import caffe
import numpy as np
import programs
import pytest
import yaml
from records import edit

from data_prep.check import prove
from data_prep.prepare import prepare
from reid.common.errors import InputError
from reid.common.files import checksum
from reid.formats.caffemodel import read_caffemodel, values
from reid.provenance.origin import origin_of
from reid.stages import plan, run
from reid.stages.chain import load
from reid.stages.plan import Request

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["batch=4", "max_iter=2", "display=1", "test_every=0", "snapshot_every=1", "workers=0"]
FILE = {"imagenet": {"tiny": {"stage": "first"}},
        "chains": {"long": {"first": {"parent": "random", "objective": "i"}, "second": {"parent": "imagenet"},
                            "third": {"parent": "second", "settings": {"lr": 0.002}}},
                   "fresh": {"second": {"parent": "random"},
                             "third": {"parent": "second", "verification_head": "restart"}}}}


def chains(folder, content=FILE):
    file = folder / "stages.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def request(data, out, stage="third", assignments=(), **other):
    given = dict(stage=stage, data=data, out=out, base="tiny", objective="vi", splits=[0], init=None,
                 gpu=None, chain=None, assignments=[*SMALL, *assignments], catalogue=None, strict=False,
                 check_data=prove)
    if "chains" not in other:
        given["chains"] = load(chains(data))
    return Request(**{**given, **other})


def weights(out, stage):
    return out / stage / "split00/snapshots/000002/weights.caffemodel"


def result(out, stage):
    return json.loads((out / stage / "split00/result.json").read_text())


@pytest.fixture(scope="module")
def data(prepared_viper, tmp_path_factory):
    """A folder of prepared datasets named by stage: all of them the same one."""
    folder = tmp_path_factory.mktemp("data")
    for stage in ("first", "second", "third", "mine"):
        (folder / stage).symlink_to(prepared_viper)
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The folder of the runs of a chain of three stages."""
    out = tmp_path_factory.mktemp("runs")
    plan.run(request(data, out))
    return out


@pytest.fixture
def copy(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def test_the_committed_chains_are_the_papers():
    committed = load(ROOT / "experiments/stages.yaml")

    def way(chain, stage, base):
        return [step.stage for step in committed.path_to(chain, stage, base)]
    assert committed.find("viper") == "paper" and committed.find("people") is None
    assert way("paper", "viper", "resnet50") == ["large", "cuhk01", "viper"]
    assert way("paper", "viper", "tiny") == ["pretraining", "large", "cuhk01", "viper"]
    assert way("paper", "market1501", "vgg16") == ["market1501"]
    assert way("direct", "viper", "resnet50") == ["viper"]
    assert way("scratch", "viper", "tiny") == ["viper"]
    assert committed.path_to("paper", "viper", "tiny")[0].objective == "i"
    assert all(step.keep_head for step in committed.chains["paper"].values())


@pytest.mark.parametrize("change, words", [
    (lambda f: f.update(rows=1), ["no key 'rows'", "imagenet, chains"]),
    (lambda f: f.update(chains=[]), ["chains is []", "a mapping"]),
    (lambda f: f["chains"]["long"]["third"].update(head="keep"),
     ["long", "third", "'head'", "verification_head"]),
    (lambda f: f["chains"]["long"]["third"].update(verification_head="new"), ["'new'", "keep, restart"]),
    (lambda f: f["chains"]["long"]["third"].update(objective="id"), ["'id'", "vi, v, i"]),
    (lambda f: f["chains"]["long"]["third"].update(parent=3), ["parent is 3", "a name"]),
    (lambda f: f["chains"]["long"]["third"].pop("parent"), ["third", "parent is missing"]),
    (lambda f: f["chains"]["long"]["third"].update(settings={"speed": 1}), ["'speed'", "lr_final"]),
    (lambda f: f["chains"]["long"]["third"].update(parent="fourth"),
     ["third", "'fourth'", "first, second, third"]),
    (lambda f: f["chains"]["long"]["second"].update(parent="third"),
     ["cycle", "second from third from second"]),
    (lambda f: f["chains"]["long"]["first"].update(parent="imagenet"), ["cycle", "first from first"]),
    (lambda f: f["chains"]["fresh"]["second"].update(parent="imagenet"),
     ["fresh", "'first'", "ImageNet with base tiny"]),
    (lambda f: f["imagenet"].update(resnet=dict(weights="x")), ["'resnet'", "resnet50"]),
    (lambda f: f["imagenet"].update(tiny=dict(weights="x", stage="first")), ["one of weights and stage"]),
])
def test_a_chain_file_that_makes_no_sense_is_refused(change, words, tmp_path):
    content = json.loads(json.dumps(FILE))
    change(content)
    with pytest.raises(InputError) as error:
        load(chains(tmp_path, content))
    assert all(word in str(error.value) for word in ["stages.yaml", *words]), error.value


def test_files_that_are_no_chains_are_refused(tmp_path):
    (tmp_path / "broken.yaml").write_text("chains: {a: [")
    for name, word in (("broken.yaml", "not YAML"), ("none.yaml", "No such file")):
        with pytest.raises(InputError, match=f"{name}.*{word}"):
            load(tmp_path / name)


def test_a_wrong_value_in_the_file_names_the_file(data, tmp_path):
    content = json.loads(json.dumps(FILE))
    content["chains"]["long"]["third"]["settings"] = {"batch": 1.5}
    with pytest.raises(InputError, match=r"stages.yaml, stage third: batch=1.5.*whole number"):
        plan.plan(request(data, tmp_path / "runs", chains=load(chains(tmp_path, content))))


def test_parents_are_trained_first_and_settings_are_each_stages(trained):
    first, second, third = (result(trained, stage) for stage in ("first", "second", "third"))
    assert [r["objective"] for r in (first, second, third)] == ["i", "vi", "vi"]
    assert first["parent"] is None and [r["parent"]["stage"] for r in (second, third)] == ["first", "second"]
    assert [r["settings"]["lr"] for r in (first, second, third)] == [.001, .001, .002]
    assert [r["verification_head"] for r in (first, second, third)] == [None, "fresh", "kept"]
    assert third["init"] == {"file": "weights.caffemodel", "sha256": second["weights"]["sha256"]}


def test_stage_by_stage_gives_the_same_bytes(trained, data, tmp_path):
    for stage in ("first", "second", "third"):
        plan.run(request(data, tmp_path, stage))
    assert weights(tmp_path, "third").read_bytes() == weights(trained, "third").read_bytes()


def starts(monkeypatch, asked):
    """The parameters with which the last stage's solver would start."""
    kept = {}

    def train(solver, *arguments):
        kept.update({name: [blob.data.copy() for blob in blobs] for name, blobs in solver.net.params.items()})
        raise KeyboardInterrupt
    monkeypatch.setattr(run, "train", train)
    with pytest.raises(KeyboardInterrupt):
        plan.run(asked)
    return kept


def test_the_kept_head_is_the_parents_and_the_others_are_fresh(copy, data, monkeypatch):
    shutil.rmtree(copy / "third")
    kept, parent = starts(monkeypatch, request(data, copy)), read_caffemodel(weights(copy, "second"))
    for name in ("verif_fc", "conv1", "res4_branch2b"):
        for found, blob in zip(kept[name], parent[name]):
            np.testing.assert_array_equal(found.ravel(), np.float32(values(blob)))
    assert kept["verif_fc"][1].any()                                          # it has learnt something there
    assert not kept["id_fc_a"][1].any() and values(parent["id_fc_a"][1]).any()     # a fresh bias is zero


def test_a_restarted_head_is_fresh_and_one_choice_binds_the_folder(trained, data, tmp_path, monkeypatch):
    asked = request(data, tmp_path, chain="fresh")
    plan.run(request(data, tmp_path, "second", chain="fresh"))
    kept = starts(monkeypatch, asked)
    assert not kept["verif_fc"][1].any()
    keeping = json.loads(json.dumps(FILE))
    keeping["chains"]["fresh"]["third"]["verification_head"] = "keep"
    with pytest.raises(InputError,
                       match="third/split00: was started with a fresh verification head; you asked for a k"):
        plan.plan(request(data, tmp_path, chain="fresh", chains=load(chains(tmp_path, keeping))))


def test_a_dry_run_says_what_would_be_done_and_touches_nothing(copy, data, tmp_path):
    assert not (tmp_path / "new").exists()
    lines = plan.describe(plan.plan(request(data, tmp_path / "new")))
    assert [line.split(";")[0] for line in lines] == [f"{s} split00: start"
                                                      for s in ("first", "second", "third")]
    assert "random weights" in lines[0]
    assert "from second, when it is trained, its verification head kept" in lines[2]
    assert not (tmp_path / "new").exists()
    (copy / "third/split00/result.json").unlink()
    shutil.rmtree(copy / "third/split00/snapshots/000002")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    lines = plan.describe(plan.plan(request(data, copy)))
    assert [line.split(";")[0] for line in lines] == ["first split00: finished, skip",
                                                      "second split00: finished, skip",
                                                      "third split00: resume at iteration 1"]
    assert "2 iterations of 4 pairs" in lines[2] and "(second split00, 2 iterations)" in lines[2]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_finished_stages_are_left_alone(trained, data, capfd):
    assert plan.run(request(data, trained)) == [trained / "third/split00"]
    assert capfd.readouterr().out == ""


def test_missing_data_of_a_parent_is_one_error_with_ways_out(data, tmp_path):
    (tmp_path / "third").symlink_to(data / "third")
    chained = load(chains(tmp_path))
    with pytest.raises(InputError, match="stage first, which stands for ImageNet, comes before third.*has no "
                                         "first/manifest.json.*--chain fresh, or --init"):
        plan.plan(request(tmp_path, tmp_path / "runs", chains=chained))
    with pytest.raises(InputError, match="stage second comes before third.*is one prepared dataset.*--init"):
        plan.plan(request(data / "third", tmp_path / "runs", chain="fresh", chains=chained))
    with pytest.raises(InputError, match="neither manifest.json nor nobody/manifest.json"):
        plan.plan(request(tmp_path, tmp_path / "runs", "nobody", chains=chained))


@pytest.mark.parametrize("other, words", [
    (dict(objective="v"),
     r"second/split00: was started with objective=vi; you asked for v\. .*stage second, from which third"),
    (dict(base="vgg16", chain="fresh"),
     r"second/split00: was started with base=tiny; you asked for vgg16\. .*from which third"),
    (dict(assignments=["second.lr=0.1"]),
     r"was started with lr=0.001; you asked for 0.1\. Use 0.001 or another --out.*from which third"),
    (dict(assignments=["second.max_iter=3"]),
     r"third/split00: was started from second at iteration 2, which is to be trained to 3"),
    (dict(assignments=["fourth.lr=1"]), "no stage 'fourth'; it has first, second, third"),
    (dict(assignments=["third.speed=1"]), "'speed'"),
    (dict(chain="short"), "--chain short:.*long, fresh"),
    (dict(stage="mine", chain="long"), "chain long has no stage mine"),
    (dict(stage="first", chain="fresh"), "chain fresh has no stage first; give --chain long"),
])
def test_what_does_not_fit_the_chain_is_refused(other, words, trained, data):
    with pytest.raises(InputError, match=words):
        plan.plan(request(data, trained, **other))


def test_nothing_starts_from_a_stage_that_is_not_trained(data, tmp_path):
    with pytest.raises(InputError, match="stage first is not trained.*second.epochs=0"):
        plan.plan(request(data, tmp_path, assignments=["epochs=0"]))


def test_nothing_stands_for_imagenet(data, tmp_path):
    with pytest.raises(InputError, match="imagenet says nothing of base vgg16.*second starts; it has tiny"):
        plan.plan(request(data, tmp_path, base="vgg16"))


def test_edited_data_under_a_finished_run_are_refused(generated_viper, prepared_viper, trained,
                                                      copy, tmp_path):
    edited = tmp_path / "edited"
    for stage in ("first", "second", "third"):
        shutil.copytree(prepared_viper, edited / stage)
    asked = request(edited, copy, chains=load(chains(tmp_path)))
    assert not any(looked.todo for looked in plan.plan(asked))
    # another split changes nothing of it
    prepare("viper", generated_viper, edited / "second", splits=[1], epochs=3)
    assert not any(looked.todo for looked in plan.plan(asked))
    edit(edited / "second/manifest.json", lambda manifest: manifest["splits"]["split00"]["query"].reverse())
    with pytest.raises(InputError, match="second/split00: .*second/manifest.json has changed since.*"
                                         "from which third"):
        plan.plan(asked)
    shutil.rmtree(edited / "second")
    shutil.copytree(prepared_viper, edited / "second")
    with open(edited / "second/images/data.mdb", "r+b") as file:
        file.seek(200_000)
        byte = file.read(1)
        file.seek(200_000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(InputError, match="second/images/data.mdb: sha256 is .*the manifest says .*changed "
                                         "since it was prep"):
        plan.plan(asked)


def test_a_finished_run_of_before_there_were_chains_is_a_parent(copy, data):
    file = copy / "second/split00/result.json"
    old = {key: value for key, value in json.loads(file.read_text()).items()
           if key not in ("lineage", "parent", "verification_head", "split_sha256", "data_folder",
                          "checksum")}
    file.write_text(json.dumps(old))
    (copy / "second/split00/start.json").unlink()
    shutil.rmtree(copy / "third")
    plan.run(request(data, copy))
    third = result(copy, "third")
    assert third["verification_head"] == "kept" and third["parent"]["stage"] == "second"
    assert [entry.get("stage") for entry in third["lineage"]] == [None, "second", "third"]


def test_a_stage_of_ones_own_starts_from_random_weights_or_a_file(trained, data, tmp_path):
    looked, = plan.plan(request(data, tmp_path, "mine"))
    assert looked.job.init is None and not looked.job.keep_head
    looked, = plan.plan(request(data, tmp_path, "third", init=weights(trained, "first")))
    assert looked.job.init == weights(trained, "first") and looked.head == "fresh"


def sidecar(file, **other):
    about = {"name": "people", "base": "tiny", "sha256": origin_of(file).sha256, "mean": [1.0, 2.0, 3.0],
             "origin": "somewhere", "licence": "free", **other}
    file.with_name(file.name + ".json").write_text(json.dumps(about))


def test_imagenet_is_an_entry_of_the_catalogue_and_brings_its_mean(trained, data, tmp_path):
    file = tmp_path / "people.caffemodel"
    shutil.copy(weights(trained, "first"), file)
    sidecar(file)
    content = {"imagenet": {"tiny": {"weights": "people"}},
               "chains": {"all": {"second": {"parent": "imagenet"},
                                 "third": {"parent": "second"}}}}
    asked = dict(chains=load(chains(tmp_path, content)), catalogue={"people": file}.get)
    second, third = plan.plan(request(data, tmp_path / "runs", **asked))
    assert second.job.settings.mean == third.job.settings.mean == (1, 2, 3)
    assert not any(row.surprise for row in second.rows["split00"] + third.rows["split00"])
    other = request(data, tmp_path / "runs", assignments=["third.mean=9,9,9"], strict=True, **asked)
    with pytest.raises(InputError,
                       match="stage third split00: --strict refuses mean: 9 9 9, and second had 1 2 3"):
        plan.plan(other)


def test_the_head_of_another_scale_and_a_head_that_is_not_there_are_surprises(copy, data, tmp_path):
    shutil.rmtree(copy / "third")
    with pytest.raises(InputError, match="verif_fc: kept from second, .*verif_scale 0.2, and here it is 0.1"):
        plan.plan(request(data, copy, assignments=["third.verif_scale=0.1"], strict=True))
    file = weights(copy, "second")
    net = caffe.proto.caffe_pb2.NetParameter()
    net.ParseFromString(file.read_bytes())
    for layer in [layer for layer in net.layer if layer.name == "verif_fc"]:
        net.layer.remove(layer)
    file.write_bytes(net.SerializeToString())
    # all of it made to fit
    for name in (file.parent / "snapshot.json", copy / "second/split00/result.json"):
        edit(name, lambda facts: (facts.get("weights") or facts["sha256"]).update(
            {"sha256" if "weights" in facts else file.name: checksum(file)}))
    looked = plan.plan(request(data, copy))[-1]
    assert looked.head == "absent"
    assert any(row.surprise and "holds none" in row.found for row in looked.rows["split00"])
    with pytest.raises(InputError, match="--strict refuses verif_fc: to be kept"):
        plan.plan(request(data, copy, strict=True))


def test_the_command_line_says_and_does_the_same(data, tmp_path):
    file = chains(tmp_path)
    train = partial(programs.run, "tools/train_stage.py", "third", "--data", data, "--out", tmp_path / "runs",
                    "--base", "tiny", "--chains", file, "--chain", "fresh", "--strict", "--set", *SMALL,
                    "third.max_iter=1")
    done = train("--dry-run")
    assert done.returncode == 0 and not (tmp_path / "runs").exists()
    assert done.stdout.splitlines()[1].startswith("third split00: start; tiny, objective vi; 1 iterations of "
                                                  "4 pairs, from second, when it is")
    done = train()
    assert done.returncode == 0, done.stderr
    assert f"result: {tmp_path}/runs/third/split00/result.json" in done.stdout, done.stderr
    done = train("--init", file)
    assert done.returncode == 2 and "give one of them" in done.stderr


def test_a_run_of_before_a_setting_had_its_default(data, tmp_path):
    """A folder that was started without a setting that there is now is resumed with its default alone."""
    plan.run(request(data, tmp_path / "out", stage="second", chain="fresh"))
    file = tmp_path / "out/second/split00/settings.yaml"
    asked = yaml.safe_load(file.read_text())
    assert asked["settings"].pop("id_weight") == 1
    file.write_text(yaml.safe_dump(asked, sort_keys=False))
    assert not plan.plan(request(data, tmp_path / "out", stage="second", chain="fresh"))[0].todo
    other = request(data, tmp_path / "out", stage="second", chain="fresh", assignments=["id_weight=0.5"])
    with pytest.raises(InputError, match="was started with id_weight=1.0; you asked for 0.5"):
        plan.plan(other)
