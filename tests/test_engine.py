"""The CPU engine (tools/caffe/engine) against Caffe's own layers: convolutions, fused layers, blocked memory.

CAFFE_ONEDNN=0 and CAFFE_FUSE=0 give those; Caffe reads both when a net is made (the solver: at every update).
So it reads CAFFE_BF16=1, by which convolutions round what they multiply.
"""
from pathlib import Path

import caffe
import numpy as np
import one_pass
import pytest
from google.protobuf import text_format

from reid.nets.backbones.registry import BACKBONES
from reid.nets.by_hand import feed_by_hand
from reid.nets.solver import solver as solver_proto
from reid.nets.two_branch import two_branch

OWN = {"CAFFE_ONEDNN": "0", "CAFFE_FUSE": "0"}
FLAGS = Path("/proc/cpuinfo").read_text()
VECTORS = "avx2" in FLAGS      # without, convolutions stay Caffe's
ROUNDS = "avx512_bf16" in FLAGS      # without, CAFFE_BF16=1 changes nothing


@pytest.fixture
def switch(monkeypatch):
    """A function: which of the engine's parts the next nets use, as environment variables."""
    def switch(**environment):
        for name in (*OWN, "CAFFE_BF16"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
    switch()
    return switch


def apart(one, other):
    """L2 difference, relative to `one`; to 1 where that is all but zero.

    So it is with a bias before batch statistics, which learns nothing.
    """
    one, other = np.asarray(one, float), np.asarray(other, float)
    length = np.linalg.norm(one)
    return np.linalg.norm(one - other) / (length if length > 1e-4 else 1)


def net(tmp_path, layers, shape, phase=caffe.TRAIN, seed=0):
    """A net of `layers` (prototxt) over blob "data" of `shape`; `seed` draws all parameters and the input."""
    path = tmp_path / "net.prototxt"
    dims = " ".join(f"dim: {dim}" for dim in shape)
    path.write_text(f'force_backward: true layer {{ name: "data" type: "Input" top: "data" '
                    f'input_param {{ shape {{ {dims} }} }} }} {layers}')
    made = caffe.Net(str(path), phase)
    draw(made, seed)
    return made


def draw(made, seed=0):
    random = np.random.default_rng(seed)
    for name, blobs in made.params.items():
        for blob in blobs:
            blob.data[...] = random.normal(0, 0.3, blob.data.shape)
        if name.startswith("bn"):
            blobs[1].data[...] = random.uniform(0.5, 2, blobs[1].data.shape)
            blobs[2].data[...] = 1.25
    for name in made.inputs:
        made.blobs[name].data[...] = random.normal(0, 1, made.blobs[name].data.shape)


def as_it_is(values):
    return values


def whole_pass(made, rounded=as_it_is):
    """Output, and gradients of the data and of every parameter, of the sum of output · a fixed pattern.

    rounded: what becomes of the pattern.
    """
    made.clear_param_diffs()
    made.forward()
    [out] = made.outputs
    value = made.blobs[out].data.copy()
    made.blobs[out].diff[...] = rounded(np.random.default_rng(9).normal(0, 1, value.shape))
    made.backward()
    kept = {"out": value, "data": made.blobs["data"].diff.copy()}
    return kept | {f"{name}/{i}": blob.diff.copy() for name, blobs in made.params.items()
                   if not name.startswith("bn")
                   for i, blob in enumerate(blobs)}


def conv(name, bottom, outputs, more="kernel_size: 3 pad: 1"):
    return (f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
            f'convolution_param {{ num_output: {outputs} {more} }} }}')


def norm(blob, stored="true", name="bn", top=None, scale='axis: 1 bias_term: true'):
    top = top or blob
    return (f'layer {{ name: "{name}" type: "BatchNorm" bottom: "{blob}" top: "{top}" '
            f'batch_norm_param {{ use_global_stats: {stored} }} }}'
            f'layer {{ name: "sc{name}" type: "Scale" bottom: "{top}" top: "{top}" scale_param {{ {scale} }} '
            f'}}')


def relu(blob, slope=0, top=None):
    return (f'layer {{ name: "relu_{blob}" type: "ReLU" bottom: "{blob}" top: "{top or blob}" '
            f'relu_param {{ negative_slope: {slope} }} }}')


BLOCK = (conv("c", "data", 32) + norm("c") + relu("c") + conv("d", "c", 32) + norm("d", name="bnd")
         + 'layer { name: "sum" type: "Eltwise" bottom: "c" bottom: "d" top: "sum" }' + relu("sum")
         + conv("e", "sum", 16, "kernel_size: 1 stride: 2"))


# The nets of this project

@pytest.mark.parametrize("form", ["stacked", "two branches"])
@pytest.mark.parametrize("base", BACKBONES)
def test_losses_features_and_gradients_are_caffes(base, form, tmp_path, switch, monkeypatch):
    """To 1e-5, in one of five draws.

    A ReLU whose input is all but zero can come out on either side, and then every gradient below differs: in
    one of five draws no ReLU does.
    """
    if form == "two branches":
        feed = one_pass.feed_by_hand

        def as_two_branches(proto):
            feed(proto)
            proto.CopyFrom(two_branch(proto, BACKBONES[base].feature))
        monkeypatch.setattr(one_pass, "feed_by_hand", as_two_branches)
    feature = "feature_a" if form == "two branches" else BACKBONES[base].feature
    size = (64, 64) if base in ("tiny", "tiny-bn") else (32, 32)
    worst = []
    for seed in range(5):
        found = []
        for environment in (OWN, {}):
            switch(**environment)
            made = one_pass.alive(base, f"{tmp_path}/net.prototxt", pairs=2, size=size, seed=seed)
            made.forward()
            made.backward()
            kept = {name: made.blobs[name].data.copy() for name in (feature, *made.outputs)}
            kept |= {f"{name}/{i}": blob.diff.copy() for name, blobs in made.params.items()
                     if not name.startswith("bn")
                     for i, blob in enumerate(blobs)}
            found.append(kept)
        own, engine = found
        assert all(np.abs(values).max() > 0 for values in own.values())
        # It is another engine.
        assert not VECTORS or any((own[name] != engine[name]).any() for name in own)
        assert max(apart(own[name], engine[name]) for name in (feature, *made.outputs)) < 1e-5
        # Of squares of small differences: their roundings weigh twice.
        assert apart(own["verif_fc/0"], engine["verif_fc/0"]) < 3e-5
        worst.append(max((apart(own[name], engine[name]), name) for name in own if name != "verif_fc/0"))
        if worst[-1][0] < 1e-5:
            return
    pytest.fail(f"none of the draws: {worst}")


# What is fused, and what is not

def test_a_block_is_fused_and_right_by_finite_differences(tmp_path, switch):
    made = net(tmp_path, BLOCK, (2, 16, 6, 5))
    gradients = whole_pass(made)
    pattern = np.random.default_rng(9).normal(0, 1, gradients["out"].shape)
    random = np.random.default_rng(1)

    def value():
        return float((made.forward()["e"].astype(float) * pattern).sum())

    blobs = {"data": made.blobs["data"]}
    blobs |= {f"{name}/{i}": blob for name, of in made.params.items() if not name.startswith("bn")
              for i, blob in enumerate(of)}
    for name, blob in blobs.items():
        numbers, right = blob.data.reshape(-1), 0
        for at in random.integers(0, numbers.size, 12):
            sides = []
            for step in (1e-3, -2e-3, 1e-3):      # up, down, back
                numbers[at] += step
                sides.append(value())
            right += (sides[0] - sides[1]) / 2e-3 == pytest.approx(gradients[name].reshape(-1)[at],
                                                                   rel=0.01, abs=0.02)
        assert right >= 9, name      # where a ReLU has its corner in between, the slope is another


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_a_block_is_caffes(phase, tmp_path, switch):
    engine = whole_pass(net(tmp_path, BLOCK, (3, 16, 7, 9), phase))
    switch(CAFFE_ONEDNN="0")      # BatchNorm, Scale and ReLU in one pass, the convolution Caffe's
    norms = whole_pass(net(tmp_path, BLOCK, (3, 16, 7, 9), phase))
    switch(CAFFE_FUSE="0")        # the convolution oneDNN's, every layer by itself
    single = whole_pass(net(tmp_path, BLOCK, (3, 16, 7, 9), phase))
    switch(**OWN)
    own = whole_pass(net(tmp_path, BLOCK, (3, 16, 7, 9), phase))
    for other in (engine, norms, single):
        assert max(apart(own[name], other[name]) for name in own) < 3e-6


@pytest.mark.parametrize("layers", [
    conv("c", "data", 16) + norm("c", stored="false"),
    conv("c", "data", 16) + norm("c", top="n"),
    conv("c", "data", 16) + relu("c", slope=0.1),
    conv("c", "data", 16) + relu("c", top="r"),
    conv("c", "data", 16) + norm("c", scale="axis: 1"),
    conv("c", "data", 16) + norm("c", scale="axis: 2 num_axes: 1 bias_term: true"),
    # somebody reads what lies between: Caffe puts a Split there, so the layers are no neighbours
    conv("c", "data", 16) + norm("c", top="n") + 'layer { name: "sum" type: "Eltwise" bottom: "c" bottom: '
                                                 '"n" top: "s" }',
    # a coefficient, a product, three bottoms
    conv("c", "data", 16) + 'layer { name: "s" type: "Eltwise" bottom: "c" bottom: "data" top: "s" '
                            'eltwise_param { coeff: 1 coeff: -1 } }' + relu("s"),
    conv("c", "data", 16) + 'layer { name: "s" type: "Eltwise" bottom: "c" bottom: "data" top: "s" '
                            'eltwise_param { operation: PROD } }' + relu("s"),
    conv("c", "data", 16) + 'layer { name: "s" type: "Eltwise" bottom: "c" bottom: "data" bottom: "data" '
                            'top: "s" }' + relu("s"),
], ids=["batch statistics", "out of place", "slope", "relu out of place", "no bias", "another axis",
        "read in between", "coefficient", "product", "three bottoms"])
def test_what_cannot_be_fused_is_not(layers, tmp_path, switch):
    as_it_is = whole_pass(net(tmp_path, layers, (4, 16, 5, 6)))
    switch(CAFFE_FUSE="0")
    single = whole_pass(net(tmp_path, layers, (4, 16, 5, 6)))
    assert all((as_it_is[name] == single[name]).all() for name in single)
    switch(**OWN)
    own = whole_pass(net(tmp_path, layers, (4, 16, 5, 6)))
    assert max(apart(own[name], single[name]) for name in own) < 3e-6


def test_a_scale_with_two_bottoms_is_not_fused(tmp_path, switch):
    layers = (conv("c", "data", 16) + 'layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" '
              'batch_norm_param { use_global_stats: true } } layer { name: "g" type: "Pooling" bottom: '
              '"data" top: "g" '
              'pooling_param { pool: AVE global_pooling: true } } layer { name: "f" type: "Reshape" bottom: '
              '"g" top: "f" '
              'reshape_param { shape { dim: 2 dim: 16 } } } layer { name: "s" type: "Scale" bottom: "c" '
              'bottom: "f" top: "c" '
              'scale_param { axis: 0 } }')
    as_it_is = whole_pass(net(tmp_path, layers, (2, 16, 5, 6)))
    switch(**OWN)
    own = whole_pass(net(tmp_path, layers, (2, 16, 5, 6)))
    assert max(apart(own[name], as_it_is[name]) for name in own) < 3e-6


# Nobody notices: ranges, views, callbacks

def test_a_range_that_ends_inside_a_group_gives_what_is_there(tmp_path, switch):
    made = net(tmp_path, BLOCK, (2, 16, 6, 6))
    made.forward(end="c")
    engine = made.blobs["c"].data.copy()
    switch(**OWN)
    own = net(tmp_path, BLOCK, (2, 16, 6, 6))
    own.forward(end="c")
    assert apart(own.blobs["c"].data, engine) < 3e-6 and (engine < 0).any()      # no ReLU yet


def test_backward_layer_by_layer_is_backward_at_once(tmp_path, switch):
    at_once = whole_pass(net(tmp_path, BLOCK, (2, 16, 6, 6)))
    made = net(tmp_path, BLOCK, (2, 16, 6, 6))
    made.forward()
    made.blobs["e"].diff[...] = np.random.default_rng(9).normal(0, 1, at_once["out"].shape)
    for layer in reversed(range(len(made.layers))):
        made._backward(layer, layer)
    for name, blobs in made.params.items():
        for i, blob in enumerate([] if name.startswith("bn") else blobs):
            assert apart(at_once[f"{name}/{i}"], blob.diff) < 3e-6, name


def test_a_view_that_python_keeps_stays_right(tmp_path, switch):
    made = net(tmp_path, BLOCK + 'layer { name: "pool" type: "Pooling" bottom: "e" top: "pool" '
                                 'pooling_param { pool: MAX kernel_size: 2 } }', (2, 16, 6, 6))
    first = made.forward()["pool"].copy()
    views = {name: made.blobs[name].data for name in ("c", "sum", "e")}
    weights = made.params["d"][0].data
    made.blobs["data"].data[...] *= 2
    second = made.forward()["pool"].copy()
    kept = {name: view.copy() for name, view in views.items()}
    weights[...] *= 3      # through a view from before
    third = made.forward()["pool"].copy()
    switch(**OWN)
    own = net(tmp_path, BLOCK + 'layer { name: "pool" type: "Pooling" bottom: "e" top: "pool" '
                                'pooling_param { pool: MAX kernel_size: 2 } }', (2, 16, 6, 6))
    assert apart(own.forward()["pool"], first) < 3e-6
    own.blobs["data"].data[...] *= 2
    assert apart(own.forward()["pool"], second) < 3e-6
    for name, values in kept.items():
        assert apart(own.blobs[name].data, values) < 3e-6, name
    own.params["d"][0].data[...] *= 3
    assert apart(own.forward()["pool"], third) < 3e-6


def test_looking_at_gradients_changes_nothing(tmp_path, switch):
    layers = BLOCK + ('layer { name: "pool" type: "Pooling" bottom: "e" top: "pool" pooling_param { pool: '
                      'MAX kernel_size: 2 } }'
                      + conv("f", "pool", 16))
    made = net(tmp_path, layers, (2, 16, 8, 8))
    first = whole_pass(made)
    for blob in made.blobs.values():
        assert np.isfinite(blob.diff).all() and np.isfinite(blob.data).all()
    second = whole_pass(made)
    assert all((first[name] == second[name]).all() for name in first)


def test_callbacks_see_every_layer(tmp_path, switch):
    made = net(tmp_path, BLOCK, (2, 16, 6, 6))
    seen = []
    made.after_forward(lambda layer: seen.append((layer, made.blobs["c"].data.min())))
    made.forward()
    assert [layer for layer, _ in seen] == list(range(len(made.layers)))
    assert dict(seen)[1] < 0 and dict(seen)[4] == 0      # the convolution's output, then ReLU's


def test_not_a_number_goes_through(tmp_path, switch):
    made = net(tmp_path, BLOCK, (2, 16, 6, 6))
    made.blobs["data"].data[1] = np.nan
    out = made.forward()["e"]
    assert np.isnan(out[1]).all() and np.isfinite(out[0]).all()


# What oneDNN does not compute, and shapes

@pytest.mark.parametrize("more, shape", [
    ("kernel_size: 3 group: 4", (2, 16, 7, 7)), ("kernel_size: 3 dilation: 2", (2, 16, 9, 9)),
    ("kernel_h: 1 kernel_w: 5 pad_h: 0 pad_w: 2", (2, 16, 7, 8)),
    ("kernel_size: 3 stride: 3 pad: 4", (2, 5, 7, 8)),
    ("kernel_size: 7 stride: 2 pad: 3", (1, 3, 33, 17)), ("kernel_size: 1 stride: 2", (3, 24, 5, 5)),
    ("kernel_size: 3 bias_term: false", (2, 16, 3, 3)), ("kernel_size: 2 engine: CAFFE", (2, 16, 3, 3)),
    ("kernel_size: [3, 2, 2]", (2, 3, 5, 5, 5)), ("kernel_size: 3", (2, 16, 9)),
    ("kernel_size: 5 force_nd_im2col: true", (2, 16, 9, 8))])
@pytest.mark.parametrize("outputs", [16, 20])
def test_every_convolution_is_caffes(more, shape, outputs, tmp_path, switch):
    layers = conv("c", "data", outputs, more)
    engine = whole_pass(net(tmp_path, layers, shape))
    switch(**OWN)
    own = whole_pass(net(tmp_path, layers, shape))
    assert max(apart(own[name], engine[name]) for name in own) < 2e-6


@pytest.mark.parametrize("pooling", ["pool: MAX kernel_size: 3 stride: 2",
                                     "pool: AVE kernel_size: 3 stride: 2 pad: 1",
                                     "pool: MAX kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR",
                                     "pool: AVE global_pooling: true"])
def test_pooling_of_blocked_memory_is_caffes(pooling, tmp_path, switch):
    pool = f'layer {{ name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param {{ {pooling} }} }}'
    layers = conv("c", "data", 32) + pool
    engine = whole_pass(net(tmp_path, layers, (2, 16, 8, 7)))
    switch(**OWN)
    own = whole_pass(net(tmp_path, layers, (2, 16, 8, 7)))
    assert max(apart(own[name], engine[name]) for name in own) < 2e-6


def test_a_net_may_change_its_shape(tmp_path, switch):
    made = net(tmp_path, BLOCK, (2, 16, 6, 6), caffe.TEST)
    images = np.random.default_rng(2).normal(0, 1, (5, 16, 6, 6))
    alone = []
    for image in images:
        made.blobs["data"].reshape(1, 16, 6, 6)
        made.blobs["data"].data[...] = image
        alone.append(made.forward()["e"][0].copy())
    made.blobs["data"].reshape(5, 16, 6, 6)
    made.blobs["data"].data[...] = images
    assert apart(alone, made.forward()["e"]) < 1e-6


# Factors in bfloat16

def bfloat16(values):
    """Numbers rounded to 8 significant bits: to the nearest, from the middle to the even one."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    return (bits + 0x7fff + (bits >> 16 & 1) >> 16 << 16).view(np.float32)


@pytest.mark.parametrize("channels, outputs, more", [
    (16, 32, "kernel_size: 3 pad: 1"), (64, 16, "kernel_size: 1 stride: 2"),
    (16, 20, "kernel_size: 3"), (3, 32, "kernel_size: 7 stride: 2 pad: 3")])
def test_a_convolution_that_rounds_is_one_of_rounded_numbers(channels, outputs, more, tmp_path, switch):
    """All three passes, and the bias as it is; where channels do not fill vectors nothing is rounded."""
    layers, shape = conv("c", "data", outputs, more), (3, channels, 9, 8)
    exact = whole_pass(net(tmp_path, layers, shape))
    switch(CAFFE_BF16="1")
    found = whole_pass(net(tmp_path, layers, shape))
    if not ROUNDS or channels % 16 or outputs % 16:
        assert all((found[name] == exact[name]).all() for name in exact)
        return
    switch()
    made = net(tmp_path, layers, shape)
    for blob in (made.blobs["data"], made.params["c"][0]):
        blob.data[...] = bfloat16(blob.data)
    rounded = whole_pass(made, bfloat16)
    assert max(apart(rounded[name], found[name]) for name in rounded) < 2e-6
    assert min(apart(exact[name], found[name]) for name in ("out", "data", "c/0")) > 1e-3


def test_a_fused_convolution_rounds_its_weights_with_the_factors_in_them(tmp_path, switch):
    layers, shape = conv("c", "data", 32) + norm("c"), (3, 16, 9, 8)
    exact = whole_pass(net(tmp_path, layers, shape))
    switch(CAFFE_BF16="1")
    made = net(tmp_path, layers, shape)
    found = whole_pass(made)
    switch()
    (weights, bias), (mean, variance, count), (gamma, beta) = (
        [blob.data.astype(float) for blob in made.params[name]] for name in ("c", "bn", "scbn"))
    factor = gamma / np.sqrt(variance / count + 1e-5)
    plain = net(tmp_path, conv("c", "data", 32), shape)
    plain.blobs["data"].data[...] = made.blobs["data"].data
    plain.params["c"][0].data[...] = factor[:, None, None, None] * weights
    plain.params["c"][1].data[...] = factor * (bias - mean / count) + beta
    if ROUNDS:
        for blob in (plain.blobs["data"], plain.params["c"][0]):
            blob.data[...] = bfloat16(blob.data)
        assert min(apart(exact[name], found[name]) for name in ("out", "data")) > 1e-3
    rounded = whole_pass(plain, bfloat16 if ROUNDS else as_it_is)
    # Where a product of weight and factor lies all but in the middle it may be rounded to the other side.
    assert max(apart(rounded[name], found[name]) for name in ("out", "data")) < 1e-4


# The update

@pytest.mark.parametrize("iter_size", [1, 3])
@pytest.mark.parametrize("clip", [-1, 0.5])
def test_an_update_in_one_pass_is_upstreams(iter_size, clip, tmp_path, switch):
    """Four steps with momentum and decay.

    They are small, so that no ReLU turns over; the step is left in `diff`.
    """
    found = []
    for environment in ({"CAFFE_FUSE": "0"}, {}):
        heads = one_pass.Heads("vi", 7, verif_scale=0.2, verif_lr_mult=10, dropout=0)
        source = one_pass.Source("", "", 3, 224, 64, 64, BACKBONES["tiny"].mean, 0, 0)
        proto = one_pass.train_net("tiny", heads, source)
        feed_by_hand(proto)
        (tmp_path / "train").write_text(text_format.MessageToString(proto))
        switch(CAFFE_FUSE="0")      # the nets alike: what is compared is the update
        settings = solver_proto(
            tmp_path / "train", tmp_path / "train", lr=1e-6, lr_final=1e-6, lr_final_from=100, max_iter=100,
            iter_size=iter_size, momentum=0.9, weight_decay=0.5, clip_gradients=clip, test_iter=1,
            test_interval=100, display=0, snapshot=0, snapshot_prefix=tmp_path / "none", seed=1, gpu=False)
        for field in ("test_net", "test_iter", "test_interval"):
            settings.ClearField(field)
        (tmp_path / "solver").write_text(text_format.MessageToString(settings))
        made = caffe.SGDSolver(str(tmp_path / "solver"))
        one_pass.draw(made.net, "tiny")
        before = [blob.data.copy() for blobs in made.net.params.values() for blob in blobs]
        switch(**environment)
        made.step(4)
        found.append([(blob.diff.copy(), blob.data - start) for blob, start in zip(
            [blob for blobs in made.net.params.values() for blob in blobs], before)])
    upstream, ours = found
    assert sum(np.linalg.norm(step) > 0 for step, _ in upstream) > 20
    for (step, moved), (our_step, we_moved) in zip(upstream, ours):
        assert np.linalg.norm(step - our_step) <= 1e-4 * np.linalg.norm(step)
        assert np.abs(moved - we_moved).max() <= 1e-3 * np.abs(moved).max() + 1e-7


def test_an_array_keeps_its_memory_and_no_longer_than_it_lives(tmp_path, switch):
    """A view outlives the net.

    Once all are gone the weights may be kept in another order again, as last written.
    """
    made = net(tmp_path, BLOCK, (2, 16, 6, 6), caffe.TEST)
    for _ in range(3):      # by the third pass oneDNN's copy of the weights is kept
        first = made.forward()["e"].copy()
    made.params["d"][0].data[...] *= 3      # written through an array that is gone at once
    second = made.forward()["e"].copy()
    view = made.params["d"][0].data[1:3]
    view *= 2
    third, kept = made.forward()["e"].copy(), view.copy()
    assert not np.allclose(first, second) and not np.allclose(second, third)
    switch(**OWN)
    own = net(tmp_path, BLOCK, (2, 16, 6, 6), caffe.TEST)
    own.params["d"][0].data[...] *= 3
    assert apart(own.forward()["e"], second) < 3e-6
    own.params["d"][0].data[1:3] *= 2
    assert apart(own.forward()["e"], third) < 3e-6
    del made, own
    assert (view == kept).all()
