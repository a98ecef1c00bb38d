"""ResNet-50 in torchvision's geometry, for its weights: the table in `resnet50` says what differs."""

from dataclasses import replace
from functools import partial

from reid.nets.backbones import resnet50
from reid.nets.backbones.backbone import TORCHVISION_MEAN

# The training defaults, all but the mean, are resnet50's and were not measured for this net.
BACKBONE = replace(resnet50.BACKBONE, name="resnet50-torchvision",
                   add_layers=partial(resnet50.add_layers, torchvision=True), mean=TORCHVISION_MEAN)
