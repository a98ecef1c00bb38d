"""ResNet-50 in torchvision's geometry, for its weights: the table in `resnet50` says what differs."""

from dataclasses import replace
from functools import partial

from reid.nets.backbones import resnet50
from reid.nets.backbones.backbone import TORCHVISION_MEAN

# All but the mean are resnet50's, not measured again.
BACKBONE = replace(resnet50.BACKBONE, name="resnet50-torchvision",
                   trunk=partial(resnet50.trunk, torchvision=True), mean=TORCHVISION_MEAN)
