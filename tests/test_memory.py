"""Memory, foreseen: shapes against real Caffe's, bytes against measured ones; what passes promise."""

import ctypes
import subprocess
import sys
from pathlib import Path

import caffe
import numpy as np
import pytest
from google.protobuf import text_format

from reid.common import machine
from reid.common.errors import InputError
from reid.engine import memory
from reid.engine.settings import defaults, override
from reid.layers.feed import PairFeed
from reid.layers.source import Source
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import deploy_net, test_net as make_test_net, train_net
from reid.nets.heads import Heads
from reid.nets.prototxt import stage_nets
from reid.nets.shapes import shaped
from reid.nets.solver import solver

SMALL_INPUT = {"vgg16": (32, 32), "tiny": (64, 64), "tiny-bn": (64, 64)}    # the others: 96×56, which rounds
HEADS = Heads("vi", 12, verif_scale=0.1, verif_lr_mult=10, dropout=0.5)
GB = 1e9


def nets(base, batch, data=Path("data"), two_branch=False, batch_statistics=False):
    """Training, test and deploy net of a backbone at a small input, as NetParameters."""
    height, width = SMALL_INPUT.get(base, (96, 56))
    common = dict(images=str(data / "images"), batch=batch, crop=224, height=height, width=width,
                  mean=list(BACKBONES[base].mean), seed=0, workers=0)
    return {"train": train_net(base, HEADS, Source(pairs=str(data / "split00/train"), **common), two_branch,
                               batch_statistics),
            "test": make_test_net(base, HEADS, Source(pairs=str(data / "split00/test"), **common)),
            "deploy": deploy_net(base, 3, height, width)}


def write(message, path):
    path.write_text(text_format.MessageToString(message))
    return str(path)


# Shapes

@pytest.mark.parametrize("base, two_branch", [*((base, False) for base in BACKBONES), ("tiny", True)])
def test_shapes_are_those_of_real_caffe(base, two_branch, prepared_viper, tmp_path):
    for name, net in nets(base, 2, prepared_viper, two_branch).items():
        for layer in net.layer:         # a hundred million random numbers take seconds to draw
            layer.inner_product_param.ClearField("weight_filler")
        built = caffe.Net(write(net, tmp_path / name), caffe.TRAIN if name == "train" else caffe.TEST)
        layers = shaped(net)
        ours = {top: shape for of in layers for top, shape in zip(of.layer.top, of.tops)}
        assert ours == {top: tuple(built.blobs[top].shape) for top in ours}
        assert {of.layer.name: of.params for of in layers if of.params} == {
            layer: [tuple(blob.shape) for blob in blobs] for layer, blobs in built.params.items()}


def test_a_layer_that_no_generated_net_has_is_named():
    net = nets("tiny", 2)["deploy"]
    net.layer.add(name="other", type="LRN", bottom=["data"], top=["other"])
    with pytest.raises(ValueError, match="layer other: .* LRN"):
        shaped(net)


# Bytes

def test_bytes_of_a_small_net_by_hand(monkeypatch):
    n = caffe.NetSpec()
    n.data, n.label = caffe.layers.Input(name="data", ntop=2, shape=[dict(dim=[4, 3, 8, 8]), dict(dim=[2])])
    n.conv = caffe.layers.Convolution(n.data, num_output=5, kernel_size=3, pad=1)              # 4·5·64 = 1280
    n.norm = caffe.layers.BatchNorm(n.conv, in_place=True, param=[dict(lr_mult=0)] * 3)
    n.scale = caffe.layers.Scale(n.conv, in_place=True, bias_term=True)
    n.relu = caffe.layers.ReLU(n.conv, in_place=True)
    n.pool = caffe.layers.Pooling(n.conv, kernel_size=2, stride=2)                             # 4·5·16 = 320
    n.half = caffe.layers.Pooling(n.conv, kernel_size=2, stride=2, pool=caffe.params.Pooling.AVE)
    n.sum = caffe.layers.Eltwise(n.pool, n.half)
    train = n.to_proto()
    deploy = caffe.NetSpec()
    deploy.data = caffe.layers.Input(shape=dict(dim=[1, 3, 8, 8]))
    deploy = deploy.to_proto()
    values = 4 * 3 * 64 + 2 + 1280 + 3 * 320
    # conv's own and one for each of its two readers; nothing for the data
    gradients = 3 * 1280 + 3 * 320
    kept = 3 * 1280 + 1280 + 320             # normalisation, scale, where the maxima were
    parameters = 5 * 27 + 5 + 5 + 5 + 1 + 5 + 5
    needed = memory.need(train, deploy=deploy, workers=0, workspace=700)
    numbers = values + gradients + kept + 4 * parameters + 2 * 3 * 64
    assert needed.bytes(2) == numbers * 4 + 2 * 700 + memory.GPU_CONTEXT
    # the convolution's weights in other orders, a gradient for each thread
    columns = (3 + machine.cores()) * 5 * 27
    snapshot = 2 * parameters * 4
    on_host = memory.need(train, deploy=deploy, workers=3, workspace=None)
    without = needed.fixed - 2 * 700 - memory.GPU_CONTEXT
    assert on_host.fixed - memory.HOST_PROGRAM == without + columns * 4 + snapshot
    # pairs made ahead, a byte a pixel
    assert on_host.per_pair - needed.per_pair == (2 * 3 + 1) * 2 * 3 * 64
    twice = memory.need(train, deploy=deploy, workers=3, workspace=None, passes=2)
    # kept in the orders of both passes
    assert twice.fixed - on_host.fixed == 2 * 5 * 27 * 4
    rounding = memory.need(train, deploy=deploy, workers=3, workspace=None, rounds=True)
    # the convolution's input and output in bfloat16, of two pairs
    assert rounding.per_pair - on_host.per_pair == (4 * 3 * 64 + 1280) * 2 / 2
    monkeypatch.setenv("CAFFE_ONEDNN", "0")
    columns_of_caffe = 27 * 64               # one image, unfolded for the 3×3 convolution
    caffes = memory.need(train, deploy=deploy, workers=3, workspace=None)
    assert caffes.fixed - on_host.fixed == (columns_of_caffe - columns) * 4


def test_stored_statistics_keep_nothing_where_the_convolution_does_them(monkeypatch):
    """Bytes of the activations of a convolution with BatchNorm and Scale, as each part of the engine goes."""
    n = caffe.NetSpec()
    n.data, n.label = caffe.layers.Input(name="data", ntop=2, shape=[dict(dim=[2, 3, 8, 8]), dict(dim=[1])])
    n.conv = caffe.layers.Convolution(n.data, num_output=5, kernel_size=3, pad=1)
    n.norm = caffe.layers.BatchNorm(n.conv, in_place=True, use_global_stats=True, param=[dict(lr_mult=0)] * 3)
    n.scale = caffe.layers.Scale(n.conv, in_place=True, bias_term=True)
    blob, given = 2 * 5 * 64, 2 * 3 * 64 + 1

    def per_pair(workspace):
        pixels = 2 * 3 * 64 if workspace is None else 0
        return memory.need(n.to_proto(), workers=0, workspace=workspace).per_pair - pixels

    assert per_pair(None) == (given + 2 * blob) * 4                # values and gradients
    assert per_pair(0) == (given + 3 * blob) * 4                   # on a GPU the normalised values too
    monkeypatch.setenv("CAFFE_ONEDNN", "0")
    assert per_pair(None) == (given + 3 * blob) * 4
    monkeypatch.setenv("CAFFE_FUSE", "0")
    assert per_pair(None) == per_pair(0) == (given + 6 * blob) * 4      # three in BatchNorm, one in Scale


PEAK = """
import caffe, sys
solver = caffe.SGDSolver(sys.argv[1])
solver.step(1)
solver.test_nets[0].share_with(solver.net)
solver.test_nets[0].forward()
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.parametrize("base", ["tiny", "tiny-bn"])
def test_a_pair_takes_what_caffe_is_measured_to_take(base, prepared_viper, tmp_path):
    """The peak of a process at two batches: Caffe's activations are what differs."""
    peaks, needs = [], []
    for batch in (8, 104):
        tiny = nets(base, batch, prepared_viper, batch_statistics=base == "tiny-bn")
        needs.append(memory.need(**tiny, workers=0, workspace=None).bytes(batch))
        path = write_solver(tmp_path, tiny)
        peaks.append(1024 * int(subprocess.run([sys.executable, "-c", PEAK, path], check=True,
                                               capture_output=True, text=True).stdout))
    assert needs[1] - needs[0] == pytest.approx(peaks[1] - peaks[0], rel=0.1)


def write_solver(folder, of, **changes):
    settings = dict(lr=0.01, lr_final=0.001, lr_final_from=100, max_iter=100, iter_size=1, momentum=0.9,
                    weight_decay=0.0005, clip_gradients=-1, test_iter=1, test_interval=1000,
                    display=0, snapshot=0, snapshot_prefix=folder / "snapshot", seed=5)
    proto = solver(write(of["train"], folder / "train"), write(of["test"], folder / "test"), **settings)
    for name, value in changes.items():
        setattr(proto, name, value)
    return write(proto, folder / "solver")


# Choosing and refusing

def pair_nets(settings):
    """The nets of tiny at these settings."""
    return nets("tiny", settings.in_pass)


def plain(monkeypatch, fixed=2, each=1):
    """Let every training take so many GB, and for each pair of a pass."""
    monkeypatch.setattr(memory, "need", lambda **nets: memory.Need(fixed * GB, each * GB))


def memory_with(gigabytes):
    return memory.Memory("memory on GPU 0", gigabytes * GB, None)


@pytest.mark.parametrize("batch, free, fits", [
    (64, 74, 64), (64, 73, 32), (64, 12, 8), (64, 4, 1), (48, 20.1, 16), (60, 14, 10), (7, 9, 1)])
def test_the_most_pairs_that_fit_are_chosen(batch, free, fits, monkeypatch):
    """2 GB, 1 more for each pair, in nine tenths of the memory."""
    plain(monkeypatch)
    settings = override(defaults("tiny"), [f"batch={batch}"])
    chosen = memory.choose_passes(settings, pair_nets, memory_with(free))
    assert (chosen.pass_pairs, chosen.passes, chosen.batch) == (fits, batch // fits, batch)


def test_what_does_not_fit_is_refused_with_what_does(monkeypatch):
    plain(monkeypatch)
    settings = override(defaults("tiny"), ["batch=64", "pass_pairs=32"])
    with pytest.raises(InputError, match="pass_pairs is 32: .* 34.00 GB of memory on GPU 0, and 20.00 GB .*"
                                         "--set pass_pairs=16 makes the same updates"):
        memory.check_memory(settings, pair_nets, memory_with(20))
    assert memory.check_memory(settings, pair_nets, memory_with(34)) == 34 * GB    # all of it


def test_where_nothing_fits_none_is_suggested(monkeypatch):
    plain(monkeypatch)
    with pytest.raises(InputError, match="even one pair at a time needs about 3.00 GB .*, and 3.20 GB"):
        memory.choose_passes(defaults("tiny"), pair_nets, memory_with(3.2))
    with pytest.raises(InputError, match="not even one pair at a time fits"):
        memory.check_memory(override(defaults("tiny"), ["pass_pairs=1"]), pair_nets, memory_with(1))


def test_a_run_is_checked_against_the_machine_or_the_card(monkeypatch):
    tiny, settings = nets("tiny", 4), override(defaults("tiny"), ["batch=4", "pass_pairs=4"])
    # but not with the held-out pairs
    enough = memory.need(**tiny, workers=2, workspace=None, tested=False).bytes(4)
    monkeypatch.setattr(machine, "memory", lambda: (1e9, enough))
    assert memory.check_memory(override(settings, ["test_every=0"]), pair_nets,
                               memory.memory_of(None)) == enough
    with pytest.raises(InputError, match="pass_pairs is 4: the training needs about 0.1. GB of memory, and "
                                         "0.1. GB are free"):
        memory.check_memory(settings, pair_nets, memory.memory_of(None))
    monkeypatch.setenv("CAFFE_CUDNN_WORKSPACE_MB", "1000")
    monkeypatch.setattr(memory, "gpu_memory", lambda number: (1e8, 1e9))
    with pytest.raises(InputError, match="about 3.12 GB of memory on GPU 3, and 0.10 GB"):
        memory.check_memory(settings, pair_nets, memory.memory_of(3))


def test_readmes_first_command_fits_a_machine_of_24_gb(monkeypatch):
    """ResNet-50, 64 pairs of 224×224: in passes, where all at once would take more than there is."""
    def of(settings):
        return stage_nets("resnet50", "vi", 316, settings, "images", "pairs")

    monkeypatch.setattr(machine, "memory", lambda: (24e9, 22e9))
    chosen = memory.choose_passes(defaults("resnet50"), of, memory.memory_of(None))
    assert (chosen.batch, chosen.pass_pairs) == (64, 32)
    with pytest.raises(InputError, match="pass_pairs is 64: the training needs about 2"):
        memory.check_memory(override(defaults("resnet50"), ["pass_pairs=64"]), of, memory.memory_of(None))


def test_a_blob_that_caffe_cannot_count_is_refused():
    """VGG-16's first: 64 channels of 224×224 for each of a pair's two images, at most 334 pairs."""
    def of(settings):
        return stage_nets("vgg16", "vi", 316, settings, "images", "pairs")

    large = memory.Memory("memory on GPU 0", 1e15, 0)
    settings = override(defaults("vgg16"), ["batch=336", "pass_pairs=336"])
    with pytest.raises(InputError, match="pass_pairs is 336: blob conv1_1 of the training net would have "
                                         "2,157,969,408 numbers, and Caffe counts to 2,147,483,647; "
                                         "--set pass_pairs=168 makes the same updates"):
        memory.check_memory(settings, of, large)
    assert memory.choose_passes(settings, of, large).pass_pairs == 168
    assert memory.check_memory(override(defaults("vgg16"), ["batch=334", "pass_pairs=334"]), of, large) < 1e15


def test_this_machine_has_some_memory():
    assert machine.memory()[1] > 1e8


def test_cudnn_has_what_our_caffe_allows_it(monkeypatch):
    monkeypatch.delenv("CAFFE_CUDNN_WORKSPACE_MB", raising=False)
    assert memory.workspace_limit(24 * 2 ** 30) == 3 * 2 ** 30
    assert memory.workspace_limit(141 * 2 ** 30) == 4 * 2 ** 30
    monkeypatch.setenv("CAFFE_CUDNN_WORKSPACE_MB", "8")
    assert memory.workspace_limit(24 * 2 ** 30) == 8 * 2 ** 20


class Driver:
    """Stands in for libcuda.so.1: one card, 7 of 8 GB free."""
    calls = []

    def __getattr__(self, name):
        def function(*arguments):
            self.calls.append(name)
            if name == "cuDeviceGet" and arguments[1] > 0:
                return 101
            if name == "cuMemGetInfo_v2":
                for pointer, value in zip(arguments, (7, 8)):
                    ctypes.cast(pointer, ctypes.POINTER(ctypes.c_size_t)).contents.value = int(value * GB)
            return 0
        return function


def test_the_driver_is_asked_for_the_cards_memory(monkeypatch):
    monkeypatch.setattr(memory, "load_driver", Driver)
    assert memory.gpu_memory(0) == (7 * GB, 8 * GB)
    retained, released = (Driver.calls.count(f"cuDevicePrimaryCtx{what}")
                          for what in ("Retain", "Release_v2"))
    assert retained == released == 1
    with pytest.raises(InputError, match="--gpu 1: the NVIDIA driver answers error 101 to cuDeviceGet"):
        memory.gpu_memory(1)


# What passes promise

def trained(prepared, folder, batch, iter_size, clip=-1, updates=3):
    """The weights after a few updates in real Caffe, and the net's solver."""
    folder.mkdir()
    path = write_solver(folder, nets("tiny", batch, prepared), iter_size=iter_size, clip_gradients=clip)
    running = caffe.SGDSolver(path)
    running.step(updates)
    return running, {name: [blob.data.copy() for blob in blobs] for name, blobs in running.net.params.items()}


def difference(one, other):
    """The largest difference of two sets of weights, relative to the largest weight of its blob."""
    return max(np.abs(a - b).max() / np.abs(a).max() for name in one for a, b in zip(one[name], other[name])
               if np.abs(a).max())


def test_passes_that_are_added_up_make_the_update_of_the_whole_batch(prepared_viper, tmp_path):
    """Dropout included: on a CPU the masks of the passes, drawn one after the other, are the whole mask.

    Caffe divides the sum of the gradients by iter_size.
    """
    _, whole = trained(prepared_viper, tmp_path / "whole", 8, 1)
    for batch, iter_size in ((4, 2), (1, 8)):
        _, parts = trained(prepared_viper, tmp_path / f"{iter_size}", batch, iter_size)
        assert difference(whole, parts) < 1e-4
    _, fewer = trained(prepared_viper, tmp_path / "fewer", 4, 1)
    assert difference(whole, fewer) > 1e-2      # what is compared does tell batches apart


def test_caffe_clips_the_sum_of_the_passes_before_it_divides(prepared_viper, tmp_path):
    """So the same bound on an update is iter_size times as large a clip_gradients in Caffe's solver file."""
    _, free = trained(prepared_viper, tmp_path / "free", 8, 1)
    _, whole = trained(prepared_viper, tmp_path / "whole", 8, 1, clip=0.5)
    _, scaled = trained(prepared_viper, tmp_path / "scaled", 4, 2, clip=1.0)
    _, unscaled = trained(prepared_viper, tmp_path / "unscaled", 4, 2, clip=0.5)
    assert difference(whole, free) > 1e-2 and difference(whole, unscaled) > 1e-2
    assert difference(whole, scaled) < 1e-4


def test_passes_are_fed_in_order_and_found_again(prepared_viper, tmp_path):
    running, _ = trained(prepared_viper, tmp_path / "run", 4, 2)
    feed = PairFeed(Source.parse(nets("tiny", 4, prepared_viper)["train"].layer[0].python_param.param_str))
    assert_shows(running.net, feed, 5)                       # the second pass of the third update
    running.net.layers[0].seek(0)
    running.net.layers[0].seek(running.iter * 2)             # as a resume does
    running.step(1)
    assert_shows(running.net, feed, 7)
    whole = PairFeed(Source.parse(nets("tiny", 8, prepared_viper)["train"].layer[0].python_param.param_str))
    np.testing.assert_array_equal(whole.rows(3)[0], np.concatenate([feed.rows(6)[0], feed.rows(7)[0]]))


def assert_shows(net, feed, k):
    crops = np.empty(net.blobs["data"].data.shape, np.uint8)
    feed.fill(k, crops)
    mean = np.float32(feed.settings.mean).reshape(3, 1, 1)
    np.testing.assert_array_equal(net.blobs["data"].data, crops - mean)
