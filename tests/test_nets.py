"""The generated nets: what is committed, what real Caffe makes of it, the two forms of the siamese net."""

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from reid.common.errors import InputError
from reid.layers.source import Source
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import deploy_net, test_net as make_test_net, train_net
from reid.nets.by_hand import feed_by_hand
from reid.nets.heads import Heads
from reid.nets.solver import solver
from tools.make_prototxt import ROOT, files

PAIRS, CLASSES = 2, 7
SMALL_INPUT = {"vgg16": 32, "resnet50": 32, "resnet50-torchvision": 32, "tiny": 64, "tiny-bn": 64}


def heads(objective="vi"):
    return Heads(objective, CLASSES, verif_scale=0.1, verif_lr_mult=10)


def source(base, size):
    return Source("pairs", "images", batch=PAIRS, crop=224, height=size, width=size,
                  mean=BACKBONES[base].mean, seed=0, workers=0)


def load(net, path, phase=caffe.TRAIN):
    """Real Caffe's net of a NetParameter."""
    path.write_text(text_format.MessageToString(net))
    return caffe.Net(str(path), phase)


# What is committed

def test_committed_files_are_what_the_generators_write():
    committed = {path: path.read_text() for path in (ROOT / "prototxt").glob("*/*/*.prototxt")}
    assert committed == files()


@pytest.mark.parametrize("path", sorted((ROOT / "prototxt").glob("*/*/solver.prototxt")),
                         ids=lambda path: "-".join(path.parts[-3:-1]))
def test_real_caffe_builds_the_committed_nets(path, tmp_path):
    given = text_format.Parse(path.read_text(), caffe_pb2.SolverParameter())
    for name, phase in ((given.train_net, caffe.TRAIN), (given.test_net[0], caffe.TEST),
                        (str(path.with_name("deploy.prototxt")), caffe.TEST)):
        net = text_format.Parse((ROOT / name).read_text(), caffe_pb2.NetParameter())
        if phase == caffe.TRAIN or "test" in name:
            feed_by_hand(net)
        for layer in net.layer:
            if layer.name in ("fc6", "fc7"):         # a hundred million random numbers take seconds to draw
                layer.inner_product_param.ClearField("weight_filler")
        assert load(net, tmp_path / "net.prototxt", phase).params


# The backbones

def test_resnet50_has_the_parameters_of_the_published_model(tmp_path):
    net = load(deploy_net("resnet50", 1, 64, 64), tmp_path / "net.prototxt")
    learned = [blobs for name, blobs in net.params.items() if not name.startswith("bn")]
    counted = sum(blob.count for blobs in learned for blob in blobs)
    assert counted == 25_557_032 - 1000 * 2049 + 64               # without fc1000, but with a bias in conv1
    assert {"conv1", "bn_conv1", "scale_conv1", "res2a_branch1", "bn2a_branch1", "scale2a_branch1",
            "res5c_branch2c", "bn5c_branch2c", "scale5c_branch2c"} <= set(net.params)
    assert [blob.count for blob in net.params["conv1"]] == [64 * 3 * 7 * 7, 64]
    first, second = (net.blobs[f"res3a_branch2{letter}"].data.shape for letter in "ab")
    assert first == second                                        # the stride sits in the first 1×1
    assert tuple(net.blobs["res5c"].shape) == (1, 2048, 2, 2)


def test_torchvisions_resnet50_has_its_geometry(tmp_path):
    """No bias in conv1; 57 → 29 in the first pooling (28 without its border).

    The stride of a block in its 3×3.
    """
    net = load(deploy_net("resnet50-torchvision", 1, 113, 114), tmp_path / "net.prototxt")
    learned = [blobs for name, blobs in net.params.items() if not name.startswith("bn")]
    assert sum(blob.count for blobs in learned for blob in blobs) == 25_557_032 - 1000 * 2049
    assert len(net.params["conv1"]) == 1
    names = "conv1", "pool1", "res3a_branch2a", "res3a_branch2b", "res3a_branch1", "res5c"
    shapes = [tuple(net.blobs[name].shape) for name in names]
    assert [shape[2:] for shape in shapes] == [(57, 57), (29, 29), (29, 29), (15, 15), (15, 15), (4, 4)]
    theirs = load(deploy_net("resnet50", 1, 113, 114), tmp_path / "net.prototxt")
    # layers that mean the same have the same names
    assert list(theirs.params) == list(net.params)


def test_vgg16_has_the_parameters_of_the_published_model(tmp_path):
    proto = deploy_net("vgg16", 1, 224, 224)
    for layer in proto.layer:
        layer.inner_product_param.ClearField("weight_filler")
    net = load(proto, tmp_path / "net.prototxt")
    learned = [blob.count for blobs in net.params.values() for blob in blobs]
    assert sum(learned) == 138_357_544 - 1000 * 4097              # without fc8
    names = list(net.params)
    assert names[:3] + names[-3:] == ["conv1_1", "conv1_2", "conv2_1", "conv5_3", "fc6", "fc7"]


@pytest.mark.parametrize("base", BACKBONES)
def test_the_deploy_net_gives_the_feature_that_the_base_says(base, tmp_path):
    size = SMALL_INPUT[base]
    net = load(deploy_net(base, 3, size, size), tmp_path / "net.prototxt", caffe.TEST)
    assert net.inputs == ["data"] and net.outputs == [BACKBONES[base].feature]
    assert tuple(net.blobs[BACKBONES[base].feature].shape) == (3, *BACKBONES[base].feature_dims)


def test_a_size_that_a_net_cannot_take_is_refused():
    with pytest.raises(InputError, match="input 128x64: tiny takes 64x64"):
        deploy_net("tiny", 1, 128, 64)
    with pytest.raises(InputError, match="input 32x32: tiny"):
        train_net("tiny", heads(), source("tiny", 32))


def test_pair_data_takes_the_parameters_it_is_given():
    for build, phase in ((train_net, "train"), (make_test_net, "test")):
        net = build("tiny", heads(), source("tiny", 64))
        settings = Source.parse(net.layer[0].python_param.param_str)
        assert (settings.phase, settings.batch, settings.mean) == (phase, PAIRS, BACKBONES["tiny"].mean)


# Stacked backbone and two branches

@pytest.mark.parametrize("base", BACKBONES)
def test_stacked_backbone_and_two_branches_have_the_same_loss_and_gradients(base, tmp_path):
    size = SMALL_INPUT[base]
    stacked, branches = (_train(base, size, two_branch, tmp_path) for two_branch in (False, True))
    _make_alive(stacked)
    for name, blobs in stacked.params.items():
        for blob, other in zip(blobs, branches.params[name]):
            other.data[...] = blob.data
    random = np.random.default_rng(0)
    images = random.uniform(-120, 130, stacked.blobs["data"].data.shape)
    for net in (stacked, branches):
        net.blobs["data"].data[...] = images
        net.blobs["label_a"].data[...], net.blobs["label_b"].data[...] = [3, 5], [3, 6]
        net.blobs["same"].data[...] = [0, 1]
        caffe.set_random_seed(4)                     # the same dropout masks
        net.forward()
        net.backward()
    for loss in ("loss_id_a", "loss_id_b", "loss_verif"):
        np.testing.assert_allclose(branches.blobs[loss].data, stacked.blobs[loss].data, rtol=1e-4)
    for name, blobs in stacked.params.items():
        for blob, other in zip(blobs, branches.params[name]):
            if not name.startswith("bn"):
                assert np.abs(blob.diff).max() > 0, name
            difference = np.abs(blob.diff - other.diff).max()
            assert difference <= 1e-3 * np.abs(blob.diff).max(), name


def _train(base, size, two_branch, folder):
    net = train_net(base, heads(), source(base, size), two_branch)
    feed_by_hand(net)
    return load(net, folder / "net.prototxt")


def _make_alive(net):
    """Weights with which every parameter has a gradient, standing in for trained ones."""
    random = np.random.default_rng(2)
    for name, blobs in net.params.items():
        if name.startswith("bn"):
            for blob, value in zip(blobs, (0, 1, 1)):
                blob.data[...] = value
        elif name.startswith("scale"):
            blobs[0].data[...] = random.uniform(0.2, 0.6, blobs[0].data.shape)
        elif not np.abs(blobs[0].data).max() or "fc_" in name:
            blobs[0].data[...] = random.normal(0, 0.02, blobs[0].data.shape)


def test_both_branches_own_one_set_of_parameters(tmp_path):
    net = _train("tiny", 64, True, tmp_path)
    for name in net.params:
        if name.endswith("_b") and name != "id_fc_b":
            for blob, other in zip(net.params[name.removesuffix("_b")], net.params[name]):
                blob.data.flat[0] = 42
                assert other.data.flat[0] == 42, name


def test_vgg16_has_one_mask_for_both_images_in_its_own_dropout(tmp_path):
    net = _train("vgg16", 32, False, tmp_path)
    net.blobs["data"].data[...] = np.random.default_rng(0).uniform(-120, 130, net.blobs["data"].data.shape)
    net.forward()
    mask = net.blobs["mask6"].data
    assert set(np.unique(mask)) == {0, 2}
    np.testing.assert_array_equal(net.blobs["drop6"].data, net.blobs["fc6"].data * np.tile(mask, (2, 1)))


# Training with it

def test_new_layers_learn_ten_times_as_fast_and_batchnorm_not_at_all():
    net = train_net("resnet50", heads(), source("resnet50", 64))
    rates = {layer.name: [param.lr_mult for param in layer.param] for layer in net.layer if layer.param}
    assert rates["id_fc_a"] == rates["id_fc_b"] == rates["verif_fc"] == [10, 20]
    assert rates["conv1"] == [1, 2] and rates["res2a_branch1"] == [1] and rates["scale2a_branch1"] == [1, 1]
    assert {tuple(rate) for name, rate in rates.items() if name.startswith("bn")} == {(0, 0, 0)}


def test_the_solver_drops_the_rate_where_it_is_told(tmp_path):
    """In real Caffe's solver; the rate is read from what a weight without a gradient loses by decay."""
    for build, name in ((train_net, "train"), (make_test_net, "test")):
        net = build("tiny", heads(), source("tiny", 64))
        feed_by_hand(net)
        (tmp_path / name).write_text(text_format.MessageToString(net))
    proto = solver(tmp_path / "train", tmp_path / "test", lr=0.01, lr_final=0.001, lr_final_from=2,
                   max_iter=4, iter_size=1, momentum=0, weight_decay=0.5, clip_gradients=-1, test_iter=1,
                   test_interval=100, display=0, snapshot=0, snapshot_prefix=tmp_path / "s", seed=3)
    (tmp_path / "solver").write_text(text_format.MessageToString(proto))
    running = caffe.SGDSolver(str(tmp_path / "solver"))
    for blob in running.net.params["conv1"]:
        blob.data[...] = 0                           # zero images, zero weights: no gradient but the decay's
    decayed = running.net.params["res2_branch1"][0].data
    decayed[...] = 1
    lost = []
    for _ in range(4):
        before = decayed[0, 0, 0, 0].copy()
        running.step(1)
        lost.append(1 - decayed[0, 0, 0, 0] / before)
    np.testing.assert_allclose(lost, [0.05, 0.05, 0.005, 0.005], rtol=1e-3)      # lr · lr_mult 10 · decay 0.5
