"""Training from random weights with batch statistics: BatchNorm against NumPy, a resume, what is refused."""

import shutil
from pathlib import Path

import caffe
import numpy as np
import pytest
from google.protobuf import text_format
from stages import run_stage, tiny_job

from reid.common.errors import InputError
from reid.formats import result as result_file
from reid.layers.source import Source
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import test_net as make_test_net, train_net
from reid.nets.by_hand import feed_by_hand
from reid.nets.heads import Heads
from reid.report.results import gather
from reid.report.table import _ours
from reid.stages import chain, plan
from reid.stages.stage import check_stage

EPS, KEPT = 1e-5, 0.999      # of Caffe's BatchNorm: added to the variance, kept of the sums at each pass
HEADS = Heads("vi", 5, verif_scale=0.2, verif_lr_mult=10, dropout=0)
SMALL = ["batch=8", "max_iter=4", "display=4", "test_every=2", "snapshot_every=2", "workers=0"]


def built(of, path, phase):
    """tiny-bn's net with batch statistics in TRAIN, fed by hand, in real Caffe; weights of seed 1."""
    source = Source("", "", 4, 224, 64, 64, BACKBONES["tiny-bn"].mean, 0, 0)
    net = (train_net("tiny-bn", HEADS, source, batch_statistics=True) if of == "train" else
           make_test_net("tiny-bn", HEADS, source))
    feed_by_hand(net)
    path.write_text(text_format.MessageToString(net))
    caffe.set_random_seed(1)
    return caffe.Net(str(path), phase)


def feed(net, seed):
    rng = np.random.default_rng(seed)
    net.blobs["data"].data[...] = rng.normal(0, 50, net.blobs["data"].shape)
    for name, classes in (("label_a", 5), ("label_b", 5), ("same", 2)):
        net.blobs[name].data[...] = rng.integers(0, classes, 4)


def moments(z):
    return z.mean((0, 2, 3)), z.var((0, 2, 3))


def over_channels(values):
    return values.reshape(1, -1, 1, 1)


def test_train_normalises_by_the_batch_and_its_gradient_is_numpys(tmp_path):
    net = built("train", tmp_path / "train", caffe.TRAIN)
    feed(net, 0)
    net.forward(end="conv1")
    z = net.blobs["conv1"].data.astype(np.float64)
    mean, variance = moments(z)
    deviation = over_channels(np.sqrt(variance + EPS))
    normal = (z - over_channels(mean)) / deviation
    net.forward(start="bn_conv1", end="bn_conv1")
    np.testing.assert_allclose(net.blobs["conv1"].data, normal, atol=1e-4)
    net.forward(start="scale_conv1")
    assert z.shape[0] == 8      # both images of the four pairs
    # dz = (g − mean(g) − normal · mean(g · normal)) / deviation
    gradient = np.random.default_rng(1).normal(0, 1, z.shape)
    net.blobs["conv1"].diff[...] = gradient
    net.backward(start="bn_conv1", end="bn_conv1")
    means = [over_channels(one.mean((0, 2, 3))) for one in (gradient, gradient * normal)]
    np.testing.assert_allclose(net.blobs["conv1"].diff, (gradient - means[0] - normal * means[1]) / deviation,
                               rtol=1e-3, atol=1e-3 * np.abs(gradient).max() / deviation.max())


def test_what_was_seen_is_averaged_and_is_what_test_normalises_by(tmp_path):
    net = built("train", tmp_path / "train", caffe.TRAIN)
    sums, weight = [0, 0], 0
    for seed in range(3):
        feed(net, seed)
        net.forward(end="conv1")
        z = net.blobs["conv1"].data.astype(np.float64)
        net.forward(start="bn_conv1")
        count = z.size / z.shape[1]
        mean, variance = moments(z)
        sums = [KEPT * old + new for old, new in zip(sums, (mean, variance * count / (count - 1)))]
        weight = KEPT * weight + 1
    for blob, expected in zip(net.params["bn_conv1"], (*sums, weight)):
        np.testing.assert_allclose(blob.data, np.ravel(expected), rtol=1e-4, atol=1e-4)
    held_out = built("test", tmp_path / "test", caffe.TEST)
    held_out.share_with(net)
    feed(held_out, 7)
    held_out.forward(end="conv1")
    z = held_out.blobs["conv1"].data.astype(np.float64)
    mean, variance = (over_channels(one / weight) for one in sums)
    held_out.forward(start="bn_conv1", end="bn_conv1")
    np.testing.assert_allclose(held_out.blobs["conv1"].data, (z - mean) / np.sqrt(variance + EPS), atol=1e-4)
    np.testing.assert_array_equal(net.params["bn_conv1"][2].data, held_out.params["bn_conv1"][2].data)


def test_the_engine_leaves_batch_statistics_alone(tmp_path, monkeypatch):
    """Losses and gradients with fused layers and without: a BatchNorm of the batch is not fused."""
    found = []
    for fuse in ("0", "1"):
        monkeypatch.setenv("CAFFE_FUSE", fuse)
        net = built("train", tmp_path / "train", caffe.TRAIN)
        feed(net, 0)
        net.forward()
        net.backward()
        found.append([float(net.blobs[name].data) for name in net.outputs] +
                     [float(np.linalg.norm(blob.diff)) for name, blobs in net.params.items()
                      for blob in blobs if not name.startswith("bn")])
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-6)


def job(data, out, *assignments, base="tiny-bn", init=None):
    return tiny_job(data, out, "batch_norm=batch", *SMALL, *assignments, base=base, init=init)


@pytest.fixture(scope="module")
def trained(prepared_viper, tmp_path_factory):
    return run_stage(job(prepared_viper, tmp_path_factory.mktemp("runs")), [0])[0]


def test_a_resumed_run_is_the_same_to_the_byte(trained, prepared_viper, tmp_path):
    """The averaged statistics are parameters, so the snapshot holds them."""
    copy = shutil.copytree(trained.parents[1], tmp_path / "runs") / "viper/split00"
    shutil.rmtree(copy / "snapshots/000004")
    (copy / "result.json").unlink()
    run_stage(job(prepared_viper, tmp_path / "runs"), [0])
    for name in ("snapshots/000004/weights.caffemodel", "losses.csv", "features/after/query.npz"):
        assert (copy / name).read_bytes() == (trained / name).read_bytes(), name


def test_there_are_no_figures_of_a_start_without_statistics(trained):
    result = result_file.read(trained)
    assert result.before is None and 0 < result.after["cmc"]["20"] <= 1
    assert not (trained / "features/before").exists()
    rows = _ours(gather(trained)[0].groups[0])
    assert len(rows) == 1 and "after 4 iterations" in rows[0].method


def test_weights_that_were_trained_so_are_started_from_with_stored_statistics(trained, prepared_viper,
                                                                            tmp_path):
    init = trained / "snapshots/000004/weights.caffemodel"
    folder, = run_stage(job(prepared_viper, tmp_path, "batch_norm=stored", init=init), [0])
    result = result_file.read(folder)
    assert result.before == result_file.read(trained).after
    assert "use_global_stats: true" in (folder / "train.prototxt").read_text()
    assert "use_global_stats: false" in (trained / "train.prototxt").read_text()


def test_people_are_learnt_from_random_weights(prepared_viper, tmp_path):
    """Twelve updates of 32 pairs."""
    folder, = run_stage(job(prepared_viper, tmp_path, "batch=32", "max_iter=none", "epochs=3", "lr=0.003",
                            "test_every=0"), [0])
    result = result_file.read(folder)
    assert result.after["cmc"]["1"] >= 0.25 > 2 * result.chance["cmc"]["1"]
    losses = np.loadtxt(folder / "losses.csv", delimiter=",", skiprows=1, usecols=3)
    assert losses[-3:].mean() < 0.6 * losses[0]


def test_what_cannot_be_meant_is_refused_and_what_surprises_is_said(prepared_viper, tmp_path):
    with pytest.raises(InputError, match="two_branch=true batch_norm=batch: .*another function"):
        check_stage(job(prepared_viper, tmp_path, "two_branch=true"), [0])
    with pytest.raises(InputError, match="--init FILE, or .*--set batch_norm=batch"):
        check_stage(job(prepared_viper, tmp_path, "batch_norm=stored"), [0])
    with pytest.raises(InputError, match="with epochs 0 it gathers none"):
        check_stage(job(prepared_viper, tmp_path, "epochs=0"), [0])
    for pairs, surprises in ((8, []), (4, ["of the 4 pairs of a pass, not of the 8 that an update sees"])):
        check = check_stage(job(prepared_viper, tmp_path, f"pass_pairs={pairs}"), [0])
        assert [row.found for row in check.rows["split00"] if row.what == "statistics"] == surprises


def request(data, out, name, assignments=(), init=None):
    root = Path(__file__).resolve().parents[1]
    return plan.Request(stage="viper", data=data, out=out, base="resnet50", objective="vi", splits=[0],
                        assignments=list(assignments), init=init, gpu=None,
                        chains=chain.load(root / "experiments/stages.yaml"), chain=name, catalogue=None,
                        check_data=None, strict=False)


def test_the_chain_from_scratch_takes_resnet50(prepared_viper, tmp_path):
    check, = plan.plan(request(prepared_viper, tmp_path, "scratch", ["batch=2"]))
    assert check.job.settings.batch_norm == "batch" and check.job.blank
    net = check.runs[0].nets()["train"]
    norms = [layer.batch_norm_param for layer in net.layer if layer.type == "BatchNorm"]
    assert len(norms) == 53 and all(norm.HasField("use_global_stats") and not norm.use_global_stats
                                    for norm in norms)
    assert {layer.convolution_param.weight_filler.type for layer in net.layer
            if layer.type == "Convolution"} == {"msra"}
    with pytest.raises(InputError, match="--set batch_norm=batch"):     # it is asked for, and cannot be
        plan.plan(request(prepared_viper, tmp_path, "scratch", ["batch=2", "batch_norm=stored"]))
