"""ResNet-50 as its authors published it for Caffe (He et al., 2015), and as torchvision has it.

Layer names are the authors', so that the ImageNet caffemodel loads by name. BatchNorm uses the stored
statistics, which makes one backbone over stacked images the same function as two branches. A training that
starts from random weights has none, and takes those of its batch (the setting batch_norm).

torchvision's net has the same layers in another geometry, and each needs its own weights:

|                    | authors'                | torchvision's               |
| ------------------ | ----------------------- | --------------------------- |
| conv1              | with a bias             | without                     |
| stride of a block  | in its first 1×1        | in its 3×3                  |
| first pooling      | no border, rounds up    | border of 1, rounds down    |
"""

from caffe import NetSpec, layers as L, params as P

from reid.nets.backbones.backbone import Backbone

STAGES = ((2, 64, 3), (3, 128, 4), (4, 256, 6), (5, 512, 3))     # stage, bottleneck channels, blocks
LEARNED = dict(lr_mult=1, decay_mult=1)
STORED = dict(lr_mult=0, decay_mult=0)


def add_layers(n: NetSpec, pairs: int, torchvision: bool = False) -> None:
    """Add the layers to NetSpec `n`, from n.data to n.pool5, (B, 2048, 1, 1).

    `torchvision` chooses torchvision's geometry over the authors'. `pairs`, which every backbone takes, is
    not used: there is no dropout here.
    """
    if torchvision:
        bias, border = dict(bias_term=False, param=[LEARNED]), dict(pad=1, round_mode=P.Pooling.FLOOR)
    else:
        bias, border = dict(param=[LEARNED, dict(lr_mult=2, decay_mult=0)]), {}
    n.conv1 = L.Convolution(n.data, num_output=64, kernel_size=7, stride=2, pad=3,
                            weight_filler=dict(type="msra"), **bias)
    normalise(n, "conv1", "_conv1")
    n.conv1_relu = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, kernel_size=3, stride=2, **border)
    bottom = "pool1"
    for stage, channels, blocks in STAGES:
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 2 else 1
            bottom = _block(n, bottom, f"{stage}{'abcdef'[block]}", channels, project=block == 0,
                            strides=(1, stride) if torchvision else (stride, 1))
    n.pool5 = L.Pooling(n[bottom], pool=P.Pooling.AVE, global_pooling=True)


def _block(n: NetSpec, bottom: str, name: str, channels: int, project: bool, strides: tuple[int, int]) -> str:
    """One bottleneck, res<name>; returns the name of its output.

    project  whether its shortcut is a convolution
    strides  of the first 1×1 and of the 3×3
    """
    shortcut = bottom
    if project:
        shortcut = _convolution(n, bottom, name, "_branch1", 4 * channels, kernel_size=1, stride=max(strides))
    top = _convolution(n, bottom, name, "_branch2a", channels, kernel_size=1, stride=strides[0])
    n[f"{top}_relu"] = L.ReLU(n[top], in_place=True)
    top = _convolution(n, top, name, "_branch2b", channels, kernel_size=3, pad=1,
                       **(dict(stride=strides[1]) if strides[1] > 1 else {}))
    n[f"{top}_relu"] = L.ReLU(n[top], in_place=True)
    top = _convolution(n, top, name, "_branch2c", 4 * channels, kernel_size=1)
    block = f"res{name}"
    n[block] = L.Eltwise(n[shortcut], n[top])
    n[f"{block}_relu"] = L.ReLU(n[block], in_place=True)
    return block


def _convolution(n: NetSpec, bottom: str, block: str, branch: str, channels: int, **geometry: int) -> str:
    """A convolution without bias and its normalisation; returns its name."""
    name = f"res{block}{branch}"
    n[name] = L.Convolution(n[bottom], num_output=channels, bias_term=False, weight_filler=dict(type="msra"),
                            param=[LEARNED], **geometry)
    normalise(n, name, f"{block}{branch}")
    return name


def normalise(n: NetSpec, blob: str, suffix: str, learned: dict = LEARNED) -> None:
    """BatchNorm with stored statistics, then the learned scale and shift, both in place.

    learned: how the scale and the shift learn, as a ParamSpec's fields.
    """
    n[f"bn{suffix}"] = L.BatchNorm(n[blob], in_place=True, use_global_stats=True, eps=1e-5,
                                   param=[STORED, STORED, STORED])
    n[f"scale{suffix}"] = L.Scale(n[blob], in_place=True, bias_term=True, param=[learned, learned])


# Batch 64 is the paper's; the mean is that of the model's authors. With raw squares (scale 1) the loss
# overflows by the third iteration; at 0.1 with clipping at 35 both heads learn.
BACKBONE = Backbone(name="resnet50", add_layers=add_layers, feature="pool5", classifier="fc1000",
                    feature_dims=(2048, 1, 1), height=224, width=224, any_size=True,
                    mean=(103.0626, 115.9029, 123.1516), batch=64, verif_scale=0.1, clip_gradients=35,
                    verif_lr_mult=10)
