"""torchvision's ResNet-50 and VGG-16: from their tensors to Caffe's layers.

Their input is RGB, x/255, minus a mean, over a standard deviation. All of it but the mean goes into the first
convolution: its weights are divided by 255 times the deviation and their channels reversed, and the net then
takes BGR from 0 to 255 minus reid.nets.backbones.backbone.TORCHVISION_MEAN. This is exact at the borders too,
where both pad with zeros after the mean.
"""
from collections.abc import Callable
from pathlib import Path

import numpy as np

from reid.common.errors import InputError

STD = (0.225, 0.224, 0.229)                                           # BGR, of x/255
RESNET_STAGES = ((2, 3), (3, 4), (4, 6), (5, 3))                      # Caffe's number of the stage, blocks
# places in their `features`
VGG_CONVOLUTIONS = {"1_1": 0, "1_2": 2, "2_1": 5, "2_2": 7, "3_1": 10, "3_2": 12, "3_3": 14,
                    "4_1": 17, "4_2": 19, "4_3": 21, "5_1": 24, "5_2": 26, "5_3": 28}


def caffe_layers(tensors: dict[str, np.ndarray], path: Path) -> tuple[str, dict[str, list[np.ndarray]]]:
    """The backbone of a state dict {name: array}, and its blobs {layer name: [float32 array, …]}.

    Raises InputError where it is of another net, or incomplete.
    """
    left = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    if "layer1.0.conv1.weight" in left:
        base, first, convert = "resnet50-torchvision", "conv1.weight", _resnet50
    elif "features.0.weight" in left:
        base, first, convert = "vgg16", "features.0.weight", _vgg16
    else:
        raise InputError(f"{path}: neither torchvision's ResNet-50 nor its VGG-16; its tensors are called "
                         f"{', '.join(list(tensors)[:3])}, …")
    try:
        left[first] = _on_pixels(left[first])
        layers = convert(left.pop)
    except KeyError as missing:
        raise InputError(f"{path}: lacks the tensor {missing}, so it is not all of torchvision's net for "
                         f"{base}; get it again") from None
    except ValueError:
        raise InputError(f"{path}: {first} has shape {tensors[first].shape}, and does not take three "
                         "colours: it is another net") from None
    if left:
        raise InputError(f"{path}: has {len(left)} tensors more than torchvision's net for {base} "
                         f"({next(iter(left))}, …): it is another net")
    return base, layers


def _on_pixels(weight: np.ndarray) -> np.ndarray:
    """The first convolution, (out, 3, height, width), for BGR from 0 to 255 in place of normalised RGB."""
    std = 255 * np.reshape(STD, (3, 1, 1))
    return (weight[:, ::-1].astype(np.float64) / std).astype(np.float32)


def _resnet50(take: Callable[[str], np.ndarray]) -> dict[str, list[np.ndarray]]:
    """The blobs in the order of the net; `take` returns the tensor of a name and removes it."""
    layers = {}

    def add(convolution: str, norm: str, name: str, suffix: str) -> None:
        """One convolution and its BatchNorm: mean, variance and scale factor 1, then Scale's two."""
        layers[name] = [take(f"{convolution}.weight")]
        statistics = take(f"{norm}.running_mean"), take(f"{norm}.running_var")
        layers[f"bn{suffix}"] = [*statistics, np.ones(1, np.float32)]
        layers[f"scale{suffix}"] = [take(f"{norm}.weight"), take(f"{norm}.bias")]

    add("conv1", "bn1", "conv1", "_conv1")
    for stage, blocks in RESNET_STAGES:
        for block in range(blocks):
            theirs, ours = f"layer{stage - 1}.{block}", f"{stage}{'abcdef'[block]}"
            if block == 0:
                shortcut = f"{theirs}.downsample"
                add(f"{shortcut}.0", f"{shortcut}.1", f"res{ours}_branch1", f"{ours}_branch1")
            for number, letter in enumerate("abc", 1):
                add(f"{theirs}.conv{number}", f"{theirs}.bn{number}", f"res{ours}_branch2{letter}",
                    f"{ours}_branch2{letter}")
    layers["fc1000"] = [take("fc.weight"), take("fc.bias")]
    return layers


def _vgg16(take: Callable[[str], np.ndarray]) -> dict[str, list[np.ndarray]]:
    names = {f"conv{name}": f"features.{place}" for name, place in VGG_CONVOLUTIONS.items()}
    names |= {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
    return {ours: [take(f"{theirs}.weight"), take(f"{theirs}.bias")] for ours, theirs in names.items()}
