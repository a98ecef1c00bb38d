"""ResNet-50 as its authors published it for Caffe (He et al., 2015).

Layer names are theirs, so that the ImageNet caffemodel loads by name: conv1 has a bias, and a block's
stride sits in its first 1×1 convolution. BatchNorm uses the stored statistics, which makes one trunk over
stacked images the same function as two branches.
"""

from caffe import layers as L, params as P

STAGES = ((2, 64, 3), (3, 128, 4), (4, 256, 6), (5, 512, 3))     # stage, bottleneck channels, blocks
LEARNED = dict(lr_mult=1, decay_mult=1)
STORED = dict(lr_mult=0, decay_mult=0)


def trunk(n, pairs):
    """Add the trunk to NetSpec `n`, from n.data to n.pool5, (B, 2048, 1, 1).

    There is no dropout in it, so `pairs`, which every trunk takes, is not used.
    """
    n.conv1 = L.Convolution(n.data, num_output=64, kernel_size=7, stride=2, pad=3,
                            weight_filler=dict(type="msra"), param=[LEARNED, dict(lr_mult=2, decay_mult=0)])
    _normalise(n, "conv1", "_conv1")
    n.conv1_relu = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, kernel_size=3, stride=2)
    bottom = "pool1"
    for stage, channels, blocks in STAGES:
        for block in range(blocks):
            bottom = _block(n, bottom, f"{stage}{'abcdef'[block]}", channels, project=block == 0,
                            stride=2 if block == 0 and stage > 2 else 1)
    n.pool5 = L.Pooling(n[bottom], pool=P.Pooling.AVE, global_pooling=True)


def _block(n, bottom, name, channels, project, stride):
    """One bottleneck, res<name>; returns the name of its output. `project`: its shortcut is a convolution."""
    shortcut = bottom
    if project:
        shortcut = _convolution(n, bottom, name, "_branch1", 4 * channels, kernel_size=1, stride=stride)
    top = _convolution(n, bottom, name, "_branch2a", channels, kernel_size=1, stride=stride)
    n[f"{top}_relu"] = L.ReLU(n[top], in_place=True)
    top = _convolution(n, top, name, "_branch2b", channels, kernel_size=3, pad=1)
    n[f"{top}_relu"] = L.ReLU(n[top], in_place=True)
    top = _convolution(n, top, name, "_branch2c", 4 * channels, kernel_size=1)
    block = f"res{name}"
    n[block] = L.Eltwise(n[shortcut], n[top])
    n[f"{block}_relu"] = L.ReLU(n[block], in_place=True)
    return block


def _convolution(n, bottom, block, branch, channels, **geometry):
    """A convolution without bias and its normalisation; returns its name."""
    name = f"res{block}{branch}"
    n[name] = L.Convolution(n[bottom], num_output=channels, bias_term=False, weight_filler=dict(type="msra"),
                            param=[LEARNED], **geometry)
    _normalise(n, name, f"{block}{branch}")
    return name


def _normalise(n, blob, suffix):
    """BatchNorm with stored statistics, then the learned scale and shift, both in place."""
    n[f"bn{suffix}"] = L.BatchNorm(n[blob], in_place=True, use_global_stats=True, eps=1e-5,
                                   param=[STORED, STORED, STORED])
    n[f"scale{suffix}"] = L.Scale(n[blob], in_place=True, bias_term=True, param=[LEARNED, LEARNED])
