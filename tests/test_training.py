"""One stage in real Caffe, on generated people with tiny: figures, files, stops, resumes, refusals."""

import json
import math
import os
import shutil
import signal
import time
from pathlib import Path

import caffe
import numpy as np
import programs
import pytest
import yaml
from caffe.proto import caffe_pb2
from records import edit
from stages import run_stage, tiny_job

from data_prep.readers.registry import DATASETS
from reid.common.errors import InputError
from reid.common.files import sha256_file
from reid.common.machine import threads
from reid.engine import loop, memory, snapshots
from reid.engine.device import ROUNDS
from reid.engine.loop import stop_if_diverged
from reid.engine.schedule import schedule
from reid.engine.settings import defaults, override
from reid.engine.tables import Table, read
from reid.features import extract
from reid.features.extract import view
from reid.formats.caffemodel import read_caffemodel
from reid.formats.feature_file import read_features
from reid.formats.image_lmdb import ImageStore
from reid.formats.manifest import load_manifest
from reid.formats.pair_lmdb import PairStore, write_pairs
from reid.layers.feed import PairFeed
from reid.layers.pair_data import PairData
from reid.layers.source import Source
from reid.nets import fit
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import deploy_net

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["batch=4", "max_iter=12", "epochs=3", "display=4", "test_every=6", "evaluate_every=6",
         "snapshot_every=5", "workers=1"]


TRUNK = fit.parameters(deploy_net("tiny", 8, 64, 64))


def job(data, out, *assignments, **other):
    return tiny_job(data, out, *SMALL, *assignments, **other)


@pytest.fixture(scope="module")
def trained(prepared_viper, tmp_path_factory):
    """The folder of a short run, from beginning to end."""
    return run_stage(job(prepared_viper, tmp_path_factory.mktemp("runs")), [0])[0]


def test_a_stage_leaves_its_record(trained, prepared_viper):
    result = json.loads((trained / "result.json").read_text())
    assert result["generated"] is True and result["iterations"] == 12 and result["test_identities"] == 12
    assert result["chance"]["cmc"] == {"1": 1 / 12, "5": 5 / 12, "10": 10 / 12, "20": 1.0}
    assert result["computing"]["card"] is None and result["computing"]["threads"] == threads()
    for figures in (result["before"], result["after"], result["histogram"]):
        assert figures["queries"] == 12 and figures["cmc"]["20"] == pytest.approx(1)
    features = read_features(trained / "features/after/query.npz")["features"]
    assert features.shape == (12, np.prod(BACKBONES["tiny"].feature_dims)) and features.dtype == np.float32
    assert yaml.safe_load((trained / "settings.yaml").read_text())["settings"]["batch"] == 4
    assert [p.name for p in sorted((trained / "snapshots").iterdir())] == ["000010", "000012"]
    losses, tests = read(trained / "losses.csv"), read(trained / "test.csv")
    assert losses["iteration"] == list(range(1, 13)) and all(map(math.isfinite, losses["loss_verif"]))
    assert tests["iteration"] == [6, 12]
    assert 0 <= min(tests["accuracy_verif"]) <= max(tests["accuracy_verif"]) <= 1
    assert read(trained / "evaluation.csv")["rank_1"][-1] == pytest.approx(result["after"]["cmc"]["1"],
                                                                           abs=1e-6)


def test_features_are_those_of_the_snapshot_in_caffe_itself(trained, prepared_viper):
    net = caffe.Net(str(trained / "deploy.prototxt"),
                    str(trained / "snapshots/000012/weights.caffemodel"), caffe.TEST)
    query = load_manifest(prepared_viper).splits["split00"].query
    image, _ = ImageStore(prepared_viper / "images").get(query[3])
    net.blobs["data"].reshape(1, 3, 64, 64)
    settings = defaults("tiny")
    net.blobs["data"].data[0] = view(image, settings) - np.array(settings.mean, np.float32).reshape(3, 1, 1)
    feature = net.forward()[BACKBONES["tiny"].feature].ravel()
    np.testing.assert_allclose(read_features(trained / "features/after/query.npz")["features"][3],
                               feature, rtol=1e-4, atol=1e-5)


def test_finished_is_left_alone_and_longer_goes_on(trained, prepared_viper, tmp_path, capfd):
    out = tmp_path / "runs"
    shutil.copytree(trained.parents[1], out)     # a run can be moved
    run_stage(job(prepared_viper, out), [0])
    assert capfd.readouterr().out == ""
    run_stage(job(prepared_viper, out, "max_iter=14"), [0])
    assert "resuming from" in capfd.readouterr().out
    assert read(out / "viper/split00/losses.csv")["iteration"] == list(range(1, 15))


def test_reading_the_next_batch_ahead_changes_no_byte(trained, prepared_viper, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(PairData, "prefetch", lambda layer, data: asked.append(data.count))
    late, = run_stage(job(prepared_viper, tmp_path), [0])
    assert asked == [2 * 4 * 3 * 64 * 64] * 12    # once an update
    for name in ("losses.csv", "test.csv", "snapshots/000012/weights.caffemodel"):
        assert (late / name).read_bytes() == (trained / name).read_bytes(), name


def test_a_folder_of_another_run_is_refused(trained, prepared_viper):
    with pytest.raises(InputError, match=r"was started with lr=0.001; you asked for 0.01"):
        run_stage(job(prepared_viper, trained.parents[1], "lr=0.01"), [0])


def test_bfloat16_is_of_the_training_alone(trained, prepared_viper, tmp_path, monkeypatch):
    """Its losses are all but float32's; the features before it are float32's, to the byte."""
    monkeypatch.setenv(ROUNDS, "1")    # which is for other programs with Caffe
    rounding = job(prepared_viper, tmp_path, "arithmetic=bfloat16", "max_iter=2", "test_every=0",
                   "evaluate_every=0")
    if "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
        with pytest.raises(InputError, match="avx512_bf16"):
            run_stage(rounding, [0])
        return
    [run] = run_stage(rounding, [0])
    for side in ("query", "gallery"):
        file = Path("features/before") / f"{side}.npz"
        assert (read_features(run / file)["features"] == read_features(trained / file)["features"]).all()
    exact, rounded = (read(of / "losses.csv")["loss_verif"][:2] for of in (trained, run))
    assert rounded != exact and rounded == pytest.approx(exact, rel=0.01)
    with pytest.raises(InputError, match="arithmetic"):
        run_stage(job(prepared_viper, tmp_path, "max_iter=2"), [0])


def test_next_stage_takes_the_backbone_and_starts_fresh_heads(trained, prepared_viper, tmp_path):
    weights = trained / "snapshots/000012/weights.caffemodel"
    folder, = run_stage(job(prepared_viper, tmp_path, "max_iter=1", init=weights, stage="mine"), [0])
    np.testing.assert_allclose(read_features(folder / "features/before/query.npz")["features"],
                               read_features(trained / "features/after/query.npz")["features"], rtol=1e-5)
    assert read(folder / "losses.csv")["loss_id_a"][0] == pytest.approx(math.log(12), abs=.05)
    assert json.loads((folder / "result.json").read_text())["init"]["file"] == "weights.caffemodel"


def test_no_epochs_is_evaluation_alone(prepared_viper, tmp_path):
    folder, = run_stage(job(prepared_viper, tmp_path, "epochs=0", "max_iter=none"), None)
    result = json.loads((folder / "result.json").read_text())
    assert result["after"] is None and result["weights"] is None and result["before"]["queries"] == 12


def start(data, out):
    return programs.begin("tools/train_stage.py", "viper", "--data", data, "--out", out, "--base", "tiny",
                          "--chain", "scratch", "--set", *SMALL, "max_iter=25")


def wait_for_iteration(run, process, iteration):
    while process.is_alive() and len(read(run / "losses.csv").get("iteration", [])) < iteration:
        time.sleep(.005)
    assert process.is_alive()


def test_killed_and_interrupted_ends_in_the_same_bytes(prepared_viper, tmp_path):
    straight, = run_stage(job(prepared_viper, tmp_path / "straight", "max_iter=25"), [0])
    run = tmp_path / "broken/viper/split00"

    process = start(prepared_viper, tmp_path / "broken")
    wait_for_iteration(run, process, 3)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130
    stopped, = (run / "snapshots").iterdir()
    assert int(stopped.name) == read(run / "losses.csv")["iteration"][-1]

    process = start(prepared_viper, tmp_path / "broken")
    wait_for_iteration(run, process, 13)
    process.kill()
    process.join()
    assert not (run / "result.json").exists()

    process = start(prepared_viper, tmp_path / "broken")
    process.join()
    assert process.exitcode == 0
    for name in ("snapshots/000025/weights.caffemodel", "snapshots/000025/state.solverstate",
                 "losses.csv", "test.csv",
                 "evaluation.csv", "features/before/query.npz", "features/after/gallery.npz"):
        assert (run / name).read_bytes() == (straight / name).read_bytes(), name


def test_a_broken_snapshot_is_passed_over(trained, prepared_viper, tmp_path, capfd):
    out = tmp_path / "runs"
    shutil.copytree(trained.parents[1], out)
    (out / "viper/split00/result.json").unlink()
    weights = out / "viper/split00/snapshots/000012/weights.caffemodel"
    weights.write_bytes(weights.read_bytes()[:-100])
    run_stage(job(prepared_viper, out), [0])
    assert "resuming from" in (text := capfd.readouterr().out) and "000010" in text
    assert weights.read_bytes() == (trained / "snapshots/000012/weights.caffemodel").read_bytes()


def test_what_a_kill_right_after_a_snapshot_leaves_goes_when_it_is_resumed(trained, prepared_viper, tmp_path):
    """It lay in the folder for good where nothing was left to train."""
    out = tmp_path / "runs"
    shutil.copytree(trained.parents[1], out)
    run = out / "viper/split00"
    (run / "result.json").unlink()
    before = sorted(path.name for path in (run / "snapshots").iterdir())
    shutil.copytree(run / "snapshots" / before[-1], run / "snapshots/000001")
    Path(snapshots.prefix(run)).parent.mkdir()
    run_stage(job(prepared_viper, out), [0])
    assert sorted(path.name for path in (run / "snapshots").iterdir()) == before


def test_the_two_branch_form_trains_the_same_backbone(trained, prepared_viper, tmp_path):
    folder, = run_stage(job(prepared_viper, tmp_path, "two_branch=true", "max_iter=2"), [0])
    names = [set(read_caffemodel(run / "snapshots" / last / "weights.caffemodel")) for run, last in
             ((folder, "000002"), (trained, "000012"))]
    assert names[0] > names[1]
    for side in ("query", "gallery"):
        file = f"features/before/{side}.npz"
        assert (folder / file).read_bytes() == (trained / file).read_bytes()


def test_one_batch_of_eight_pairs_is_learnt_by_heart(prepared_viper, tmp_path):
    pairs = PairStore(prepared_viper / "split00/train")
    epoch = pairs.epoch(0)
    eight = np.concatenate([epoch[epoch["same"] == same][:4] for same in (0, 1)])
    data = with_pairs(prepared_viper, tmp_path / "data", pairs, [eight] * 25)
    asked = tiny_job(data, tmp_path / "runs", "batch=8", "dropout=0", "crop=256", "display=10")
    folder, = run_stage(asked, [0])
    losses = read(folder / "losses.csv")
    assert losses["loss_verif"][-1] < .05
    # 10 of 75 epochs: 3 of 25
    np.testing.assert_allclose(losses["lr"], [1e-3] * 22 + [1e-4] * 3, rtol=1e-5)


def with_pairs(prepared, data, pairs, epochs):
    """A copy of a prepared folder with other training pairs."""
    shutil.copytree(prepared, data)
    target = data / "split00/train"
    shutil.rmtree(target)
    target.mkdir()
    write_pairs(target, pairs.meta, pairs.labels, epochs)
    file = target / "data.mdb"
    facts = {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
    edit(data / "manifest.json", lambda manifest: manifest["splits"]["split00"].update(train_pairs=facts))
    return data


def test_schedule_by_hand(prepared_viper):
    pairs, held_out = (PairStore(prepared_viper / "split00" / role) for role in ("train", "test"))
    # 12 identities × 2 images × 5 translations
    assert pairs.offsets.tolist() == [0, 120, 240, 360]
    plan = schedule(override(defaults("tiny"), ["batch=21", "pass_pairs=7", "lr_final_epochs=1"]),
                    pairs, held_out)
    assert (plan.iterations, plan.lr_final_from, plan.step) == (18, 12, 21)    # ⌈360/21⌉, ⌈240/21⌉
    assert [plan.epoch(i) for i in (0, 5, 6, 11, 12, 17)] == [0, 0, 1, 1, 2, 2]
    assert plan.test_batches == tuple(range(48 // 7))    # 12 probes × 4 held-out pairs
    assert schedule(override(defaults("tiny"), ["max_iter=5"]), pairs, held_out).iterations == 5
    # 1.5 epochs are 180 pairs; the last 10/75 of them, 0.2 epochs, begin after 156: ⌈180/21⌉, ⌈156/21⌉
    part = schedule(override(defaults("tiny"), ["batch=21", "pass_pairs=7", "epochs=1.5"]), pairs, held_out)
    assert (part.iterations, part.lr_final_from) == (9, 8)
    with pytest.raises(InputError, match="epochs is 9, but .*train holds pairs for 3"):
        schedule(override(defaults("tiny"), ["epochs=9"]), pairs, held_out)


def test_the_last_ten_of_75_epochs_have_the_final_rate():
    class Pairs:
        offsets, total, path = np.arange(76) * 640, 640, "pairs"
    plan = schedule(override(defaults("resnet50"), []), Pairs, Pairs)
    assert (plan.iterations, plan.lr_final_from) == (750, 650)


@pytest.mark.parametrize("value", [math.nan, math.inf, 87.3365])
def test_divergence_stops_with_what_to_try(value, tmp_path):
    stop_if_diverged(3, {"loss_verif": 80.0}, tmp_path)
    with pytest.raises(InputError, match="iteration 3.*loss_verif.*snapshots.*clip_gradients"):
        stop_if_diverged(3, {"loss_verif": value}, tmp_path)


def test_diverging_training_keeps_no_broken_weights(prepared_viper, tmp_path):
    with pytest.raises(InputError, match="diverged|NaN"):
        run_stage(job(prepared_viper, tmp_path, "lr=1e6", "clip_gradients=-1", "snapshot_every=1"), [0])
    for file in tmp_path.rglob("weights.caffemodel"):
        assert all(np.isfinite(blob.data).all() for blobs in read_caffemodel(file).values() for blob in blobs)


def test_tables_are_cut_back_and_half_lines_dropped(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("iteration,loss\n1,.5\n2,.4\n3,.3\n4,.")
    table = Table(file, upto=2)
    table.write(3, loss=1 / 3)
    table.close()
    assert file.read_text() == "iteration,loss\n1,.5\n2,.4\n3,0.3333333\n"


def caffemodel(trained, path, change, old=False):
    """A trained net's weights as a file, after `change`; `old`: in Caffe's format of before 2014."""
    net = caffe_pb2.NetParameter()
    net.ParseFromString((trained / "snapshots/000012/weights.caffemodel").read_bytes())
    layers = {layer.name: layer for layer in net.layer}
    change(layers)
    written = caffe_pb2.NetParameter()
    for name, layer in layers.items():
        copy = (written.layers if old else written.layer).add(name=name)
        for blob in layer.blobs:
            copied = copy.blobs.add(data=blob.data)
            if old:
                four = [1] * (4 - len(blob.shape.dim)) + list(blob.shape.dim)
                copied.num, copied.channels, copied.height, copied.width = four
            else:
                copied.shape.CopyFrom(blob.shape)
    path.write_bytes(written.SerializeToString())
    return path


def check_weights(file):
    fit.check(file, read_caffemodel(file), TRUNK, "tiny")


def other_shape(layers):
    blob = layers["conv1"].blobs[0]
    blob.shape.dim[0] = 16
    del blob.data[len(blob.data) // 2:]


def not_finite(layers):
    layers["conv1"].blobs[1].data[0] = math.nan


@pytest.mark.parametrize("change, words", [
    (lambda layers: layers.pop("conv1"), "lacks 1 of .*conv1"),
    (other_shape, r"layer conv1 has shapes \[\(16, 3, 5, 5\), \(32,\)\].*needs \[\(32, 3, 5, 5\), \(32,\)\]"),
    (not_finite, "layer conv1 holds NaN"),
    (lambda layers: layers["conv1"].blobs[0].data.append(1), "damaged: layer conv1 .* holds 2401 numbers"),
    (lambda layers: layers["conv1"].blobs[0].data.pop(), "damaged: layer conv1 .* holds 2399 numbers"),
    (lambda layers: layers["conv1"].blobs[0].shape.ClearField("dim"), "damaged: layer conv1 "),
    (lambda layers: layers["conv1"].blobs.add(), "damaged: layer conv1 "),
    (lambda layers: layers["conv1"].blobs.pop(), r"layer conv1 has shapes \[\(32, 3, 5, 5\)\]"),
    (lambda layers: layers.update(embedding=layers["conv1"]), "layer embedding has shapes .* needs none"),
])
def test_weights_that_do_not_fit_are_refused(trained, tmp_path, change, words):
    with pytest.raises(InputError, match=f"w.caffemodel.*{words}"):
        check_weights(caffemodel(trained, tmp_path / "w.caffemodel", change))


@pytest.mark.parametrize("change, words", [
    (lambda net: net.layer.append(net.layer[-1]), "holds layer .* 2 times"),
    (lambda net: net.layer.add(name=next(layer.name for layer in net.layer if layer.blobs)), "2 times"),
    (lambda net: net.layers.add(name="x"), "mixes `layers` and `layer`"),
    (lambda net: net.layers.add(name="x").blobs.add(num=1, channels=1, height=1, width=1, data=[1]), "mixes"),
    (lambda net: net.layer[-1].blobs[0].double_data.append(1), "damaged: layer"),
    (lambda net: net.layer[-1].blobs[0].shape.dim.extend([-1, -1]), "damaged: layer"),
])
def test_what_caffe_would_read_in_a_way_of_its_own_is_refused(trained, tmp_path, change, words):
    net = caffe_pb2.NetParameter.FromString((trained / "snapshots/000012/weights.caffemodel").read_bytes())
    while not net.layer[-1].blobs:
        del net.layer[-1]
    change(net)
    (tmp_path / "w.caffemodel").write_bytes(net.SerializeToString())
    with pytest.raises(InputError, match=f"w.caffemodel: .*{words}"):
        read_caffemodel(tmp_path / "w.caffemodel")


def test_files_that_are_no_weights_are_refused(trained, tmp_path):
    whole = (trained / "snapshots/000012/weights.caffemodel").read_bytes()
    for name, content in (("cut", whole[:-1000]), ("page", b"<html>not found</html>"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_caffemodel(tmp_path / name)
    with pytest.raises(InputError, match="absent.*No such file"):
        read_caffemodel(tmp_path / "absent")


def test_a_refused_start_binds_the_folder_to_nothing(trained, prepared_viper, tmp_path):
    cut = tmp_path / "cut.caffemodel"
    cut.write_bytes((trained / "snapshots/000012/weights.caffemodel").read_bytes()[:-1000])
    with pytest.raises(InputError, match="cut.caffemodel: not a .caffemodel, or cut short"):
        run_stage(job(prepared_viper, tmp_path, init=cut), [0])
    run_stage(job(prepared_viper, tmp_path, "epochs=0", "max_iter=none"), [0])


def test_weights_in_the_old_format_are_read_as_caffe_reads_them(trained, tmp_path):
    file = caffemodel(trained, tmp_path / "old.caffemodel", lambda layers: None, old=True)
    net = caffe.Net(str(trained / "deploy.prototxt"), caffe.TEST)
    check_weights(file)
    net.copy_from(str(file))
    blob = read_caffemodel(trained / "snapshots/000012/weights.caffemodel")["conv1"][0]
    np.testing.assert_array_equal(net.params["conv1"][0].data.ravel(), np.float32(blob.data))
    ours = caffe.Net(str(trained / "deploy.prototxt"), caffe.TEST)
    fit.load(ours, read_caffemodel(file))
    for name, blobs in net.params.items():
        for theirs, mine in zip(blobs, ours.params[name], strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)


def test_too_little_memory_or_disk_is_said_before(prepared_viper, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="batch is 361, but 3 epochs of .* are 360 pairs; set a smaller"):
        run_stage(job(prepared_viper, tmp_path, "batch=361"), [0])
    with monkeypatch.context() as machine:
        machine.setattr(memory.machine, "memory", lambda: (8e9, 7e8))
        with pytest.raises(InputError, match="pass_pairs is 360.* GB of memory.*--set pass_pairs="):
            run_stage(job(prepared_viper, tmp_path, "batch=360", "pass_pairs=360"), [0])
    monkeypatch.setattr(shutil, "disk_usage",
                        lambda folder: shutil._ntuple_diskusage(10 ** 9, 10 ** 9, 10 ** 5))
    with pytest.raises(InputError, match="0 MB free; the snapshots need .* MB"):
        run_stage(job(prepared_viper, tmp_path / "not/yet/there"), [0])
    assert not (tmp_path / "not").exists() and not (tmp_path / "viper").exists()


def test_a_full_disk_leaves_the_last_snapshot(trained, prepared_viper, tmp_path, monkeypatch):
    out = tmp_path / "runs"
    shutil.copytree(trained.parents[1], out)
    monkeypatch.setattr(snapshots, "_check_space", full)
    with pytest.raises(InputError, match="disk is full"):
        run_stage(job(prepared_viper, out, "max_iter=14"), [0])
    assert snapshots.newest(out / "viper/split00").name == "000012"


def full(solver, folder):
    raise InputError("disk is full")


def test_stored_statistics_need_weights(prepared_viper, tmp_path):
    with pytest.raises(InputError, match="resnet50.*--init"):
        run_stage(tiny_job(prepared_viper, tmp_path, base="resnet50"), [0])


def test_data_that_do_not_fit_are_refused(prepared_viper, tmp_path):
    with pytest.raises(InputError, match="split07 is not prepared; there are split00"):
        run_stage(job(prepared_viper, tmp_path / "runs"), [7])
    with pytest.raises(InputError, match="stage cuhk01: --data holds viper"):
        run_stage(job(prepared_viper, tmp_path / "runs", stage="cuhk01", datasets=DATASETS), [0])
    with pytest.raises(InputError, match="no/manifest.json"):
        run_stage(job(tmp_path / "no", tmp_path / "runs"), [0])
    pairs = PairStore(prepared_viper / "split00/train")
    labels = np.where(pairs.labels == 3, 99, pairs.labels)
    altered = type("Pairs", (), {"meta": pairs.meta, "labels": labels})
    data = with_pairs(prepared_viper, tmp_path / "labels", altered, [pairs.epoch(e) for e in range(3)])
    with pytest.raises(InputError, match="split00/train.*99"):
        run_stage(job(data, tmp_path / "runs"), [0])
    with open(data / "images/data.mdb", "r+b") as file:
        file.truncate(100_000)
    with pytest.raises(InputError, match="images/data.mdb: 100000 bytes, and the manifest says"):
        run_stage(job(data, tmp_path / "runs"), [0])


def test_command_line_errors_are_one_line(tmp_path):
    for arguments, word in ((["--set", "speed=9"], "'speed'"), (["--split", "x"], "--split x"),
                            (["--gpu", "x"], "--gpu: invalid int value: 'x'; tools/train_stage.sh --help"),
                            (["--speed", "9"], "unrecognized arguments: --speed 9"),
                            (["--gpu", "0"], "manifest.json")):
        done = programs.run("tools/train_stage.py", "viper", "--data", tmp_path, "--out", tmp_path / "runs",
                            "--base", "tiny", *arguments)
        assert done.returncode == 2, done.stderr
        assert word in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_snapshot_comes_before_the_held_out_pairs_and_what_was_cut_off_is_made_up_for(
        prepared_viper, tmp_path, monkeypatch):
    """A kill between the snapshot and the row of test.csv: the same files as without."""
    straight, = run_stage(job(prepared_viper, tmp_path / "straight", "snapshot_every=6"), [0])
    judge, seen = loop.test, []

    def killed(held_out, net, batches, asked=()):
        seen.append(sorted(p.name for p in (tmp_path / "killed/viper/split00/snapshots").iterdir()))
        raise SystemExit
    monkeypatch.setattr(loop, "test", killed)
    with pytest.raises(SystemExit):
        run_stage(job(prepared_viper, tmp_path / "killed", "snapshot_every=6"), [0])
    assert seen == [["000006"]]
    monkeypatch.setattr(loop, "test", judge)
    resumed, = run_stage(job(prepared_viper, tmp_path / "killed", "snapshot_every=6"), [0])
    for name in ("test.csv", "losses.csv", "evaluation.csv", "snapshots/000012/weights.caffemodel"):
        assert (resumed / name).read_bytes() == (straight / name).read_bytes(), name
    assert read(resumed / "test.csv")["iteration"] == [6, 12]


@pytest.mark.parametrize("iterations", [12, 6])    # in the middle, and at the last iteration
def test_asked_to_stop_the_held_out_pairs_are_left(prepared_viper, tmp_path, monkeypatch, iterations):
    judge, asked = loop.test, job(prepared_viper, tmp_path, "snapshot_every=100", f"max_iter={iterations}")

    def interrupted(held_out, net, batches, signals):
        signals.append(signal.SIGINT)
        return judge(held_out, net, batches, signals)
    monkeypatch.setattr(loop, "test", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_stage(asked, [0])
    folder = tmp_path / "viper/split00"
    assert read(folder / "test.csv") == {}
    assert [p.name for p in (folder / "snapshots").iterdir()] == ["000006"]
    monkeypatch.setattr(loop, "test", judge)
    run_stage(asked, [0])
    assert read(folder / "test.csv")["iteration"] == list(range(6, iterations + 1, 6))
    assert read(folder / "evaluation.csv")["iteration"][-1] == iterations


def test_held_out_pairs_are_a_fixed_sample_spread_over_all_of_them(prepared_viper):
    pairs, held_out = (PairStore(prepared_viper / "split00" / role) for role in ("train", "test"))
    assert held_out.total == 48
    plan = schedule(override(defaults("tiny"), ["batch=4", "test_pairs=17"]), pairs, held_out)
    assert plan.test_batches == (0, 2, 4, 7, 9)      # 5 of 12 batches
    source = Source(str(prepared_viper / "split00/test"), str(prepared_viper / "images"), 4, 224, 64, 64,
                    (1., 2., 3.), 0, 0, "test")
    every, some = PairFeed(source), PairFeed(source)
    some.order = plan.test_batches
    assert all((some.rows(k)[0] == every.rows(plan.test_batches[k % 5])[0]).all() for k in range(7))


class Net:
    """Stands in for a deploy net: the feature of an image is its first pixels.

    Counts what it was asked for.
    """

    def __init__(self, fails_after=10 ** 9):
        self.blobs, self.left = {"data": Blob(), "feature": Blob((1, 5))}, fails_after

    def forward(self):
        self.left -= 1
        if self.left < 0:
            raise SystemExit
        self.blobs["feature"].data = self.blobs["data"].data[:, 0, 0, :5].copy()


class Blob:
    """Stands in for a blob of a net."""

    def __init__(self, shape=()):
        self.shape, self.data = shape, None

    def reshape(self, *shape):
        self.data = np.empty(shape, np.float32)


@pytest.mark.parametrize("place", [0, 3, 4, 23, 24, 27, 28, 300, 24 * 28 - 1])
def test_a_changed_byte_in_kept_features_is_computed_again(prepared_viper, tmp_path, place):
    """A row of the file has 28 bytes here: the image's place, 5 numbers, their CRC-32."""
    images, settings, file, said = ImageStore(prepared_viper / "images"), defaults("tiny"), tmp_path / "f", []

    def kept(net):
        return extract.extract_kept(file, net, "feature", images, range(24), settings, said.append)
    file.touch()
    first = kept(Net())    # a kill may have left an empty file
    damaged = bytearray(file.read_bytes())
    damaged[place] ^= 1
    file.write_bytes(damaged)
    batches = -(-(24 - place // 28) // extract.BATCH)
    np.testing.assert_array_equal(kept(Net(fails_after=batches)), first)
    assert f"{file}: damaged, or of an older version, from row {place // 28} of 24 on" in said[0]
    damaged[place] ^= 1
    assert file.read_bytes() == damaged


def test_features_that_were_computed_are_kept(prepared_viper, tmp_path, monkeypatch):
    images, settings = ImageStore(prepared_viper / "images"), defaults("tiny")
    wanted = [30, 3, 17, *range(20, 41), 3]
    straight = extract.extract(Net(), "feature", images, wanted, settings)
    monkeypatch.setattr(extract, "KEEP", 1)
    file = tmp_path / "some/features.rows"
    with pytest.raises(SystemExit):
        extract.extract_kept(file, Net(fails_after=2), "feature", images, wanted, settings, print)
    assert file.stat().st_size == 2 * extract.BATCH * (4 + 5 * 4 + 4)
    with open(file, "ab") as stream:
        stream.write(b"cut short")
    net, lines = Net(fails_after=2), []
    kept = extract.extract_kept(file, net, "feature", images, wanted, settings, lines.append)
    assert (kept == straight).all() and lines == [f"features of 16 images are in {file}"] and net.left == 1
    again = extract.extract_kept(file, Net(fails_after=0), "feature", images, wanted, settings,
                                 lines.append)
    assert (again == straight).all()
