"""A training or test net that is fed by hand, for tests and benchmarks that have no databases."""

from caffe.proto import caffe_pb2

from reid.nets.shapes import shaped


def feed_by_hand(net: caffe_pb2.NetParameter) -> None:
    """Put Input in the place of PairData in a NetParameter: the same blobs of the same shapes."""
    layer, tops = net.layer[0], shaped(net)[0].tops
    layer.type = "Input"
    layer.ClearField("python_param")
    for shape in tops:
        layer.input_param.shape.add(dim=shape)
