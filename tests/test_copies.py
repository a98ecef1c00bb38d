"""What crosses between the machine's memory and the GPU in an iteration: the batch and the small head alone.

Worked out from the generated nets and from how Caffe holds a blob (SyncedMemory): it is copied where a layer
that computes on the CPU stands beside one on the GPU. Nothing is counted on a card here: the driver's tools
for that are not part of the build.
"""

import math

import pytest

from reid.layers.source import Source
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import train_net
from reid.nets.heads import OBJECTIVES, Heads
from reid.nets.shapes import shaped

# of the layers in our nets, those that Caffe has no GPU code for
ON_CPU = ("Python", "Input", "DummyData")
FLOAT = 4


def copies(base, objective, pairs):
    """{what: bytes} that an iteration copies, each way one entry."""
    height, width = BACKBONES[base].height, BACKBONES[base].width
    net = train_net(base, Heads(objective, 751, verif_scale=0.1, verif_lr_mult=10),
                    Source("pairs", "images", pairs, 224, height, width, BACKBONES[base].mean, 0, 0))
    crossing, unread = {}, {}
    for of in shaped(net):
        layer, sizes = of.layer, [FLOAT * math.prod(shape) for shape in of.bottoms + of.tops]
        for name in layer.bottom:
            unread.pop(name, None)
        unread |= zip(layer.top, sizes[len(layer.bottom):])
        if layer.type == "DummyData":
            # filled and copied once, not each time
            assert layer.dummy_data_param.data_filler[0].type == "constant"
        elif layer.type in ON_CPU:
            for name, size in zip([*layer.bottom, *layer.top], sizes):
                crossing[f"{layer.name}: {name}"] = size
                if layer.bottom:                                                # gradients go the other way
                    crossing[f"{layer.name}: gradient of {name}"] = size
        elif layer.type == "BatchNorm":
            # Caffe reads how often statistics were added up on the CPU
            crossing[f"{layer.name}: factor"] = FLOAT
    # the losses, by the training loop
    crossing |= {f"read: {name}": size for name, size in unread.items()}
    # whose update the alarms look at
    first = next(of for of in shaped(net) if of.params)
    crossing |= {f"alarms: {what} of {first.layer.name}": FLOAT * math.prod(first.params[0])
                 for what in ("value", "change")}
    return crossing


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("base", BACKBONES)
def test_nothing_crosses_but_the_batch_and_the_small_head(base, objective):
    pairs, of = BACKBONES[base].batch, BACKBONES[base]
    crossing = copies(base, objective, pairs)
    images = 2 * pairs * 3 * of.height * of.width * FLOAT
    assert crossing.pop("data: data") == images
    for name in ("label_a", "label_b", "same"):
        assert crossing.pop(f"data: {name}") == pairs * FLOAT
    head = {name: size for name, size in crossing.items() if name.startswith("square")}
    if "v" in objective:
        feature = pairs * math.prod(of.feature_dims) * FLOAT
        assert head == {f"square: {gradient}{name}": feature for gradient in ("", "gradient of ")
                        for name in ("dropped_a", "dropped_b", "square")}
    else:
        assert not head
    rest = {name: size for name, size in crossing.items() if name not in head}
    assert {name for name in rest if name.startswith("read")} == {
        f"read: loss_{name}"
        for name in (["id_a", "id_b"] if "i" in objective else []) + ["verif"] * ("v" in objective)}
    copied = {name.split(": ")[1].split(" ")[0] for name in rest if not name.startswith("read")}
    assert copied <= {"factor", "value", "change"}
    assert sum(head.values()) <= 0.25 * images and sum(rest.values()) <= 0.01 * images


@pytest.mark.parametrize("base, batch, head",
                         [("resnet50", 77_070_336, 3_145_728), ("vgg16", 57_802_752, 4_718_592)])
def test_bytes_of_an_iteration_of_the_paper(base, batch, head):
    """The squared difference in Python costs 4 % (ResNet-50) and 8 % (VGG-16) of what the batch does."""
    crossing = copies(base, "vi", BACKBONES[base].batch)
    assert crossing["data: data"] == batch
    assert sum(size for name, size in crossing.items() if name.startswith("square")) == head
