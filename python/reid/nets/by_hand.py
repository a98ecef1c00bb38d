"""A training or test net that is fed by hand, for tests and benchmarks that have no databases."""

import json

from caffe.proto import caffe_pb2


def feed_by_hand(net: caffe_pb2.NetParameter) -> None:
    """Put Input in the place of PairData in a NetParameter: the same blobs of the same shapes."""
    layer = net.layer[0]
    param = json.loads(layer.python_param.param_str)
    layer.type = "Input"
    layer.ClearField("python_param")
    for dims in ([2 * param["batch"], 3, param["height"], param["width"]], *[[param["batch"]]] * 3):
        layer.input_param.shape.add(dim=dims)
