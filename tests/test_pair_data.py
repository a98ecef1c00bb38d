"""PairData in real Caffe: its crops against a slow construction, its processes, and its errors."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import caffe
import cv2
import lmdb
import numpy as np
import programs
import pytest

from reid.common import rng
from reid.common.errors import InputError
from reid.formats import image_lmdb, pair_lmdb
from reid.formats.pair_lmdb import PAIR
from reid.layers import workers
from reid.layers.feed import cut_window

MEAN = [103.5, 116.25, 123.0]
IMAGES, CLASSES, COUNTS = 12, 4, (7, 9, 5)


@pytest.fixture(scope="module")
def pictures():
    """Random pictures, so that a pixel in the wrong place shows."""
    # OpenCV's own threads run in this process before any worker is forked from it.
    cv2.resize(np.zeros((4000, 4000, 3), np.uint8), (2000, 2000))
    return np.random.default_rng(0).integers(0, 256, (IMAGES, 256, 256, 3), np.uint8)


@pytest.fixture(scope="module")
def data(pictures, tmp_path_factory):
    """A folder with an image LMDB and a pair LMDB of three epochs."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(1)
    epochs = []
    for count in COUNTS:
        pairs = np.zeros(count, PAIR)
        for name in "ab":
            pairs[name] = draw.integers(0, IMAGES, count)
            pairs[f"{name}_flip"] = draw.integers(0, 2, count)
            pairs[f"{name}_dy"], pairs[f"{name}_dx"] = draw.integers(-12, 13, (2, count))
        pairs["same"] = draw.permutation(count) % 2
        epochs.append(pairs)
    write_lmdbs(folder, pictures, epochs)
    return folder


def write_lmdbs(folder, pictures, epochs, labels=None, **meta):
    for name in ("images", "pairs"):
        (folder / name).mkdir(parents=True)
    image_lmdb.write_images(folder / "images", pictures, [0] * len(pictures))
    labels = np.arange(len(pictures)) % CLASSES if labels is None else labels
    about = {"classes": CLASSES, "images": len(pictures), **meta}
    meta = pair_lmdb.Meta(**about, dataset="made", split=0, seed=0, schedule="literal", role="train",
                          epochs=len(epochs), flip=True)
    pair_lmdb.write_pairs(folder / "pairs", meta, labels, epochs)


def params(folder, **changes):
    return {"pairs": str(folder / "pairs"), "images": str(folder / "images"), "batch": 4, "crop": 224,
            "height": 224, "width": 224, "mean": MEAN, "seed": 3, "phase": "train", "workers": 0, **changes}


def make_net(folder, param):
    path = folder / "net.prototxt"
    path.write_text(
        'layer { name: "data" type: "Python" top: "data" top: "label_a" top: "label_b" top: "same" '
        'python_param { module: "reid.layers.pair_data" layer: "PairData" '
        f"param_str: {json.dumps(param if isinstance(param, str) else json.dumps(param))} }} }}"
    )
    return caffe.Net(str(path), caffe.TRAIN)


@pytest.fixture
def net_of(tmp_path):
    """Makes nets, and ends their workers after the test."""
    nets = []

    def make(param):
        nets.append(make_net(tmp_path, param))
        return nets[-1]

    yield make
    for net in nets:
        net.layers[0].close()


def batches_of(net, count):
    """The tops of the next batches, as copies."""
    seen = []
    for _ in range(count):
        net.forward()
        seen.append({name: blob.data.copy() for name, blob in net.blobs.items()})
    return seen


def expected_image(picture, dy, dx, flip, corner, crop, size):
    """An augmented crop, made step by step on the whole picture: translate, mirror, cut, resize, subtract."""
    shift = np.float32([[1, 0, dx], [0, 1, dy]])
    how = {"flags": cv2.INTER_NEAREST, "borderMode": cv2.BORDER_REPLICATE}
    whole = cv2.warpAffine(picture, shift, (256, 256), **how)
    if flip:
        whole = whole[:, ::-1]
    y, x = corner
    window = np.ascontiguousarray(whole[y : y + crop, x : x + crop])
    if size != (crop, crop):
        window = cv2.resize(window, size[::-1], interpolation=cv2.INTER_LINEAR)
    return (window.astype(np.float64) - MEAN).transpose(2, 0, 1)


def expected_batches(folder, pictures, param, count):
    """What batches 0 … count − 1 must be, epoch after epoch, pair after pair."""
    pairs = pair_lmdb.PairStore(folder / "pairs")
    line = []
    for e in range(len(COUNTS)):
        windows = rng.generator(param["seed"], "crop", e).integers(0, 257 - param["crop"], (COUNTS[e], 2, 2))
        if param["phase"] == "test":
            windows[...] = (256 - param["crop"]) // 2
        line += list(zip(pairs.epoch(e), windows))
    line = line * (count * param["batch"] // len(line) + 1)
    for k in range(count):
        rows = line[k * param["batch"] : (k + 1) * param["batch"]]
        images = [expected_image(pictures[pair[name]], int(pair[f"{name}_dy"]), int(pair[f"{name}_dx"]),
                                 pair[f"{name}_flip"], windows[side], param["crop"],
                                 (param["height"], param["width"]))
                  for side, name in enumerate("ab") for pair, windows in rows]
        yield {
            "data": np.array(images),
            "label_a": [pair["a"] % CLASSES for pair, _ in rows],
            "label_b": [pair["b"] % CLASSES for pair, _ in rows],
            "same": [pair["same"] for pair, _ in rows],
        }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"crop": 200, "height": 128, "width": 64},
        {"crop": 256, "height": 256, "width": 256, "workers": 2},
        {"crop": 20, "height": 20, "width": 20},
        {"phase": "test"},
        {"batch": 50, "crop": 64, "height": 64, "width": 64},
    ],
    ids=["train", "resized", "whole", "small", "test", "more than all epochs"],
)
def test_batches_equal_a_slow_construction(data, pictures, net_of, changes):
    """Seven batches of 4 cross both ends of epochs and begin again after the 21 pairs of all three."""
    param = params(data, **changes)
    seen = batches_of(net_of(param), 7)
    for got, expected in zip(seen, expected_batches(data, pictures, param, 7)):
        for name, value in expected.items():
            assert np.array_equal(got[name], np.array(value)), name


@pytest.mark.parametrize("size", [(224, 224), (100, 50)])
def test_same_bytes_for_every_number_of_workers(data, net_of, size):
    height, width = size
    reference, *others = (batches_of(net_of(params(data, height=height, width=width, workers=workers)), 9)
                          for workers in (0, 1, 2, 3))
    for seen in others:
        assert all(np.array_equal(a[name], b[name]) for a, b in zip(reference, seen) for name in a)


@pytest.mark.parametrize("workers", [0, 2])
def test_seek_goes_on_where_a_run_was(data, net_of, workers):
    straight = batches_of(net_of(params(data)), 8)
    net = net_of(params(data, workers=workers))
    net.layers[0].seek(5)
    resumed = batches_of(net, 3)
    net.layers[0].seek(1)
    resumed += batches_of(net, 1)
    for a, b in zip(straight[5:] + straight[1:2], resumed):
        assert all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_prefetched_is_the_next_batch(data, net_of, workers):
    straight = batches_of(net_of(params(data)), 6)
    net = net_of(params(data, workers=workers))
    layer, images = net.layers[0], net.blobs["data"]
    for k in (0, 1, 2):
        seen, = batches_of(net, 1)
        layer.prefetch(images)
        assert all(np.array_equal(seen[name], straight[k][name]) for name in seen)
        assert np.array_equal(images.data, straight[k + 1]["data"])
        assert np.array_equal(net.blobs["label_a"].data, straight[k]["label_a"])    # not before its turn
    layer.seek(5)    # drops it
    seen, = batches_of(net, 1)
    assert all(np.array_equal(seen[name], straight[5][name]) for name in seen)


def test_ctrl_c_spares_the_workers_and_close_ends_them(data, net_of):
    net = net_of(params(data, workers=2))
    net.forward()
    processes = worker_ids(net)
    for process in processes:
        os.kill(process, signal.SIGINT)  # Ctrl-C reaches them too, and is the parent's to answer
    assert len(batches_of(net, 6)) == 6 and all(map(runs, processes))
    net.layers[0].close()
    assert not any(map(runs, processes))
    net.forward()  # and a closed feed can be used again


def test_a_killed_worker_is_an_error_that_names_it(data, net_of):
    net = net_of(params(data, workers=2))
    net.forward()
    victim = worker_ids(net)[1]
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(ChildProcessError, match=f"process {victim} of the feed was killed by SIGKILL"):
        batches_of(net, 6)
    assert batches_of(net, 1)  # the next batch starts new workers


def test_workers_hold_no_file_of_the_card(data, net_of, tmp_path, monkeypatch):
    """Inherited as from CUDA in the parent; the parent's own stays open."""
    card = tmp_path / "nvidia0"
    card.touch()
    monkeypatch.setattr(workers, "CARD", str(tmp_path / "nvidia"))
    with open(card) as held:
        net = net_of(params(data, workers=2))
        net.forward()
        assert held.fileno() > 2 and open_files(os.getpid()).count(str(card)) == 1
        for process in worker_ids(net):
            assert str(card) not in open_files(process)
        monkeypatch.setattr(workers, "CARD", str(tmp_path / "another"))
        other = net_of(params(data, workers=1))
        other.forward()
        assert str(card) in open_files(worker_ids(other)[0])


def open_files(process):
    return [os.readlink(entry) for entry in Path(f"/proc/{process}/fd").iterdir() if entry.is_symlink()]


def test_what_fails_in_a_worker_is_an_error_here(data, pictures, tmp_path, net_of):
    """The last image is cut out of the database after the checks; only a worker meets the gap."""
    pairs = np.zeros(4, PAIR)
    pairs["b"] = IMAGES - 1
    write_lmdbs(tmp_path, pictures, [pairs])
    net = net_of(params(tmp_path, workers=1))
    with lmdb.open(str(tmp_path / "images"), lock=False) as images, images.begin(write=True) as transaction:
        transaction.delete(image_lmdb.image_key(IMAGES - 1))
    net.layers[0].prefetch(net.blobs["data"])    # says nothing yet
    with pytest.raises(InputError, match=f"images: holds no image {IMAGES - 1}"):
        net.forward()


def test_workers_end_with_their_parent(data, tmp_path):
    command = [sys.executable, "-c", PARENTS, json.dumps(params(data, workers=2)), tmp_path]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               cwd=Path(__file__).parent)
    for line in program.stdout:
        how, parent, processes = json.loads(line)
        if how.startswith("SIG"):
            assert all(map(runs, processes))
            os.kill(parent, signal.Signals[how])
        patience = time.monotonic() + 20
        while any(map(runs, [parent, *processes])):
            assert time.monotonic() < patience, f"{how}: workers outlived their parent"
            time.sleep(0.05)
    assert program.wait() == 5


# Each has to end as a program does, so none is forked from the tests; this way Caffe is imported once.
PARENTS = """
import json, os, signal, sys, time
from pathlib import Path
from test_pair_data import make_net, worker_ids
signal.signal(signal.SIGINT, signal.default_int_handler)    # what a shell starts in the background ignores it
ways = "SIGKILL", "SIGTERM", "SIGINT", "exit", "error"
for how in ways:
    if not os.fork():
        break
else:
    sys.exit(len([os.wait() for _ in ways]))
folder = Path(sys.argv[2]) / how
folder.mkdir()
net = make_net(folder, json.loads(sys.argv[1]))
net.forward()
os.write(1, f"{json.dumps([how, os.getpid(), worker_ids(net)])}\\n".encode())    # whole, beside the others'
if how == "error":
    raise RuntimeError
if how != "exit":
    time.sleep(60)
"""


def worker_ids(net):
    return [process.pid for process, _, _ in net.layers[0].batches.crew]


def runs(process):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("size", [16, 19, 24])    # mirrored by eight pixels, or one by one
@pytest.mark.parametrize("corner", [(0, 0), (-5, 3), (17, 14)])
def test_a_window_is_mirrored_whole(size, corner):
    image = np.random.default_rng(0).integers(0, 256, (3, 32, 30), np.uint8)
    straight, mirrored = np.empty((2, 3, size, size), np.uint8)
    cut_window(image, *corner, False, straight)
    cut_window(image, *corner, True, mirrored)
    np.testing.assert_array_equal(mirrored, straight[:, :, ::-1])
    inside = straight[:, max(-corner[0], 0):][:, :32 - max(corner[0], 0), :30 - corner[1]]
    np.testing.assert_array_equal(inside, image[:, max(corner[0], 0):corner[0] + size,
                                                corner[1]:corner[1] + size])


def test_the_benchmark_measures_and_explains(data, tmp_path):
    (tmp_path / "split03").mkdir()
    (tmp_path / "split03" / "train").symlink_to(data / "pairs")
    (tmp_path / "images").symlink_to(data / "images")

    def run(*options):
        few = "--batch", "4", "--workers", "1", "--seconds", "0.1"
        return programs.run("benchmarks/feed/run.py", *options, *few)

    done = run("--data", str(tmp_path), "--split", "split03")
    assert done.returncode == 0 and "PairData in Caffe" in done.stdout and "crops/s" in done.stdout
    failed = run("--data", str(tmp_path))
    assert failed.returncode == 2 and failed.stderr.startswith("error: ") and "split00" in failed.stderr


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"batch": 0}, "batch is 0; it must be a whole number of at least 1"),
        ({"batch": 4.5}, "batch is 4.5"),
        ({"workers": -1}, "workers is -1"),
        ({"workers": True}, "workers is True"),
        ({"mean": [1, 2]}, r"mean is \[1, 2\]; it must be three numbers"),
        ({"phase": "TRAIN"}, "phase is 'TRAIN'; it must be \"train\" or \"test\""),
        ({"crop": 257}, "crop is 257, but images are stored at 256×256"),
        ({"crop": 8}, "crop is 8; it must be a whole number of at least 16"),
        ({"pairs": ""}, "pairs is ''"),
        ({"pairs": "/nowhere"}, "/nowhere: there is no LMDB"),
        ({"mirror": True}, r"missing keys \[\] and unknown keys \['mirror'\]"),
    ],
)
def test_wrong_settings_are_errors_while_the_net_is_built(data, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        make_net(tmp_path, params(data, **changes))


@pytest.mark.parametrize("param", ["", "[1]", '{"pairs": "p"}'])
def test_what_is_no_settings_at_all(tmp_path, param):
    with pytest.raises(InputError, match="PairData: param_str"):
        make_net(tmp_path, param)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"images": 11}, "pairs 11 images, but .* holds 12"),
        ({"classes": 3}, "epoch 0 has class 0 to 3, but a train net takes 0 to 2"),
        ({"b": IMAGES}, "epoch 0 names image 12 of 12"),
        ({"same": 2}, "same 0 to 2, but a train net takes 0 to 1"),
        ({"same": -1}, "same -1 to 1, but a train net takes 0 to 1"),
        ({"label": -1}, "class -1 to 3, but a train net takes 0 to 3"),
        ({"count": 0}, "holds no pairs"),
    ],
)
def test_lmdbs_that_do_not_fit_are_errors(pictures, tmp_path, change, words):
    pairs = np.zeros(change.get("count", 4), PAIR)
    pairs["a"], pairs["same"][1::2] = np.arange(len(pairs)), 1
    if "b" in change:
        pairs["b"] = change["b"]
    pairs["same"][:1] = change.get("same", 0)
    labels = np.arange(IMAGES) % CLASSES
    labels[0] = change.get("label", 0)
    meta = {key: change[key] for key in ("classes", "images") if key in change}
    if "images" in meta:
        labels = labels[: meta["images"]]
    write_lmdbs(tmp_path, pictures, [pairs] if len(pairs) else [], labels, **meta)
    with pytest.raises(InputError, match=words):
        make_net(tmp_path, params(tmp_path))


def test_a_test_net_takes_rows_that_are_not_judged(pictures, tmp_path, net_of):
    pairs = np.zeros(4, PAIR)
    pairs["b"], pairs["same"] = 1, [0, 1, -1, -1]
    write_lmdbs(tmp_path, pictures, [pairs], np.array([-1] + [0] * (IMAGES - 1)))
    (batch,) = batches_of(net_of(params(tmp_path, phase="test")), 1)
    assert batch["same"].tolist() == [0, 1, -1, -1]
    assert batch["label_a"].tolist() == [-1] * 4 and batch["label_b"].tolist() == [0] * 4
