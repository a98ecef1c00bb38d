"""Fig. 1 taken literally: the backbone written twice, parameters shared by name."""

from collections.abc import Iterable

from caffe.proto import caffe_pb2

Layer = caffe_pb2.LayerParameter


def two_branch(stacked: caffe_pb2.NetParameter, feature: str) -> caffe_pb2.NetParameter:
    """Rewrite the training net `stacked`, one backbone over 2N images, as two branches of N images.

    Returns a new NetParameter with the same loss and gradients. `feature` names the blob where the backbone
    ends; behind it nothing changes. Branch a keeps the backbone's layer names, so that weights load and save
    as in the stacked net; names of branch b end in _b.
    """
    split = [layer.name for layer in stacked.layer].index("split_feature")
    net = caffe_pb2.NetParameter(name=stacked.name)
    net.layer.add().CopyFrom(stacked.layer[0])
    data = net.layer.add(name="split_data", type="Slice", bottom=["data"], top=["data_a", "data_b"])
    data.slice_param.axis = 0
    masks, backbone = _split_off_masks(stacked.layer[1:split])
    net.layer.extend(layer for layer in masks.values() if layer.type != "Concat")
    # A mask repeated for the stacked images is, in two branches, the mask itself.
    shared = {blob: layer.bottom[0] if layer.type == "Concat" else blob for blob, layer in masks.items()}
    for branch, suffix in (("a", ""), ("b", "_b")):
        blobs = shared | {"data": f"data_{branch}", feature: f"feature_{branch}"}
        net.layer.extend(_in_branch(layer, suffix, blobs) for layer in backbone)
    net.layer.extend(stacked.layer[split + 1:])
    return net


def _split_off_masks(layers: Iterable[Layer]) -> tuple[dict[str, Layer], list[Layer]]:
    """Separate the layers that do not depend on the data, {top: layer}, from those that do, [layer]."""
    masks, backbone = {}, []
    for layer in layers:
        if all(bottom in masks for bottom in layer.bottom):
            masks[layer.top[0]] = layer
        else:
            backbone.append(layer)
    return masks, backbone


def _in_branch(layer: Layer, suffix: str, blobs: dict[str, str]) -> Layer:
    """A copy of a layer for one branch: `blobs` renames some blobs, all other names gain `suffix`."""
    copy = caffe_pb2.LayerParameter()
    copy.CopyFrom(layer)
    copy.name += suffix
    copy.bottom[:] = [blobs.get(blob, blob + suffix) for blob in layer.bottom]
    copy.top[:] = [blobs.get(blob, blob + suffix) for blob in layer.top]
    for i, param in enumerate(copy.param):
        param.name = f"{layer.name}_{i}"
    return copy
