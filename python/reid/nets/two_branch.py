"""Fig. 1 taken literally: the trunk written twice, parameters shared by name."""

from caffe.proto import caffe_pb2


def two_branch(stacked, feature):
    """Rewrite the training net `stacked`, its trunk over 2N images, as two branches of N.

    Returns a new NetParameter of the same loss and gradients; `feature` names the blob where the trunk
    ends. Branch a keeps the trunk's layer names, so that weights load and save as in the stacked net;
    names of branch b end in _b. From feature_a and feature_b on nothing changes.
    """
    split = [layer.name for layer in stacked.layer].index("split_feature")
    net = caffe_pb2.NetParameter(name=stacked.name)
    net.layer.add().CopyFrom(stacked.layer[0])
    data = net.layer.add(name="split_data", type="Slice", bottom=["data"], top=["data_a", "data_b"])
    data.slice_param.axis = 0
    masks, trunk = _split_off_masks(stacked.layer[1:split])
    net.layer.extend(layer for layer in masks.values() if layer.type != "Concat")
    # A mask repeated for the stacked images is, in two branches, the mask itself.
    shared = {blob: layer.bottom[0] if layer.type == "Concat" else blob for blob, layer in masks.items()}
    for branch, suffix in (("a", ""), ("b", "_b")):
        blobs = shared | {"data": f"data_{branch}", feature: f"feature_{branch}"}
        net.layer.extend(_in_branch(layer, suffix, blobs) for layer in trunk)
    net.layer.extend(stacked.layer[split + 1:])
    return net


def _split_off_masks(layers):
    """Part the layers that do not depend on the data, {top: layer}, from those that do, [layer]."""
    masks, trunk = {}, []
    for layer in layers:
        if all(bottom in masks for bottom in layer.bottom):
            masks[layer.top[0]] = layer
        else:
            trunk.append(layer)
    return masks, trunk


def _in_branch(layer, suffix, blobs):
    """A copy of a trunk layer for one branch: `blobs` renames some blobs, all other names gain `suffix`."""
    copy = caffe_pb2.LayerParameter()
    copy.CopyFrom(layer)
    copy.name += suffix
    copy.bottom[:] = [blobs.get(blob, blob + suffix) for blob in layer.bottom]
    copy.top[:] = [blobs.get(blob, blob + suffix) for blob in layer.top]
    for i, param in enumerate(copy.param):
        param.name = f"{layer.name}_{i}"
    return copy
