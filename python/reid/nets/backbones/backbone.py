"""What each file of this folder defines: a Backbone."""

from collections.abc import Callable
from dataclasses import dataclass

from caffe import NetSpec

IMAGENET_MEAN = (103.939, 116.779, 123.68)        # of the images that Caffe's models were trained on, BGR
TORCHVISION_MEAN = (103.53, 116.28, 123.675)      # 255 × 0.406, 0.456, 0.485


@dataclass(frozen=True)
class Backbone:
    """A backbone: how its layers are written, the feature they give, and its own training defaults.

    name            as --base has it
    add_layers      function (n, pairs) that adds the layers to NetSpec n, from n.data to the feature; pairs:
                    how many are stacked in n.data, 0 in a deploy net
    feature         name of the blob that holds the feature, in the deploy net and in the stacked training net
    other_features  blobs before it that can be the feature instead
    classifier      the layer of its published weights that classifies ImageNet's 1000 classes; none: ""
    feature_dims    shape of one feature, without the batch axis: D, or D × rows × columns
    height, width   size in pixels of the net's input
    any_size        whether the net takes other sizes too, with the same feature_dims
    mean            BGR, 0…255, subtracted from every pixel
    batch           pairs in an iteration (the backbone sees twice as many images)
    verif_scale     s of (s·(x1 − x2))²: does not change what the net can represent, only how fast θ_verif
                    learns
    clip_gradients  the solver's bound on the L2 norm of all gradients together; −1: none
    verif_lr_mult   learning rate of θ_verif relative to the backbone's; its bias learns twice as fast
    """
    name: str
    add_layers: Callable[[NetSpec, int], None]
    feature: str
    classifier: str
    feature_dims: tuple[int, ...]
    height: int
    width: int
    any_size: bool
    mean: tuple[float, float, float]
    batch: int
    verif_scale: float
    clip_gradients: float
    verif_lr_mult: float
    other_features: tuple[str, ...] = ()
