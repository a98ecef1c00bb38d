"""SquaredDifference in real Caffe, against values worked by hand and finite differences."""
import caffe
import numpy as np
import pytest

from reid.common.errors import InputError

LAYER = """
layer {{ name: "square" type: "Python" bottom: "x1" bottom: "x2" top: "y" loss_weight: 1
         python_param {{ module: "reid.layers.squared_difference" layer: "SquaredDifference"
                         param_str: '{param}' }} }}
"""
INPUT = 'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def make_net(folder, text):
    path = folder / "net.prototxt"
    path.write_text(text)
    return caffe.Net(str(path), caffe.TRAIN)


def two_inputs(folder, shape1, shape2, param=""):
    inputs = "".join(
        INPUT.format(name=name, dims=" ".join(f"dim: {n}" for n in shape))
        for name, shape in (("x1", shape1), ("x2", shape2))
    )
    return make_net(folder, "force_backward: true\n" + inputs + LAYER.format(param=param))


def test_values_worked_by_hand(tmp_path):
    net = two_inputs(tmp_path, (1, 3), (1, 3), '{"scale": 0.5}')
    net.blobs["x1"].data[...] = [[3, -1, 2]]
    net.blobs["x2"].data[...] = [[1, 3, 2]]
    net.forward()
    assert net.blobs["y"].data.tolist() == [[1, 4, 0]]  # (0.5 · 2)², (0.5 · −4)², 0
    net.blobs["y"].diff[...] = [[1, 10, 100]]
    net.backward()
    assert net.blobs["x1"].diff.tolist() == [[1, -20, 0]]  # 2 · 0.25 · 2 · 1, 2 · 0.25 · −4 · 10, 0
    assert net.blobs["x2"].diff.tolist() == [[-1, 20, 0]]


@pytest.mark.parametrize("scale, param", [(1.0, ""), (0.1, '{"scale": 0.1}'), (3.0, '{"scale": 3}')])
def test_gradient_equals_finite_differences(tmp_path, scale, param):
    shape = (2, 3, 2, 2)
    net = two_inputs(tmp_path, shape, shape, param)
    rng = np.random.default_rng(1)
    weight = rng.normal(size=shape)
    start = {name: rng.normal(size=shape) for name in ("x1", "x2")}

    def loss(values):
        for name, value in values.items():
            net.blobs[name].data[...] = value
        net.forward()
        return float(np.sum(weight * net.blobs["y"].data))

    loss(start)
    net.blobs["y"].diff[...] = weight
    net.backward()
    analytic = {name: net.blobs[name].diff.copy() for name in start}
    step = 0.05  # the function is quadratic, so a central difference is exact at any step
    for name in start:
        for place in np.ndindex(*shape):
            values = [{key: value.copy() for key, value in start.items()} for _ in range(2)]
            values[0][name][place] += step
            values[1][name][place] -= step
            numeric = (loss(values[0]) - loss(values[1])) / (2 * step)
            assert analytic[name][place] == pytest.approx(numeric, rel=2e-3, abs=2e-3 * scale**2)


def test_no_gradient_where_none_is_asked_for(tmp_path):
    """x1 has weights below it and x2 has none, so Caffe asks for the first gradient only."""
    below = (
        INPUT.format(name="z", dims="dim: 2 dim: 4")
        + INPUT.format(name="x2", dims="dim: 2 dim: 4")
        + 'layer { name: "fc" type: "InnerProduct" bottom: "z" top: "x1" inner_product_param { num_output: 4 '
        'weight_filler { type: "xavier" } } }\n'
    )
    net = make_net(tmp_path, below + LAYER.format(param=""))
    net.blobs["z"].data[...] = 1
    net.forward()
    net.blobs["y"].diff[...] = 1
    net.blobs["x2"].diff[...] = 7
    net.backward()
    assert (net.blobs["x2"].diff == 7).all()
    assert np.allclose(net.blobs["x1"].diff, 2 * net.blobs["x1"].data)


def test_follows_a_change_of_batch_size(tmp_path):
    net = two_inputs(tmp_path, (1, 2), (1, 2))
    for name in ("x1", "x2"):
        net.blobs[name].reshape(5, 2)
    net.forward()
    assert net.blobs["y"].data.shape == (5, 2)


def test_unequal_shapes_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"one shape, not \(1, 3\) and \(3, 1\)"):
        two_inputs(tmp_path, (1, 3), (3, 1))


@pytest.mark.parametrize(
    "param", ['{"scale": 0}', '{"scale": NaN}', '{"scale": "big"}', '{"scal": 1}', '{"scale": null}', "[1]"]
)
def test_a_wrong_param_str_is_an_error(tmp_path, param):
    with pytest.raises(InputError, match="param_str is .*allowed is"):
        two_inputs(tmp_path, (1, 3), (1, 3), param)
