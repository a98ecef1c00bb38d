"""What each base network is: its input, its feature, and the training defaults that belong to it."""

from dataclasses import dataclass

IMAGENET_MEAN = (103.939, 116.779, 123.68)
TORCHVISION_MEAN = (103.53, 116.28, 123.675)      # 255 × 0.406, 0.456, 0.485


@dataclass(frozen=True)
class Base:
    """A base network and its defaults.

    feature         name of the blob that holds the feature, in the deploy net and in the stacked training net
    classifier      the layer of its published weights that classifies ImageNet's 1000 classes; none: ""
    feature_dims    shape of one feature, without the batch axis: D, or D × rows × columns
    height, width   size in pixels of the net's input
    any_size        whether the net takes other sizes too, with the same feature_dims
    mean            BGR, 0…255, subtracted from every pixel
    batch           pairs an iteration (the trunk sees twice as many images)
    verif_scale     s of (s·(x1 − x2))²: changes not what the net can represent, but how fast θ_verif learns
    clip_gradients  the solver's bound on the L2 norm of all gradients together; −1: none
    verif_lr_mult   learning rate of θ_verif relative to the trunk's; its bias learns twice as fast
    """
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


BASES = {
    # Batch 48 is the paper's. fc7 differences are larger than pool5's and there are twice as many: half of
    # ResNet-50's scale keeps the verification gradient near what was measured to be stable there.
    "vgg16": Base(feature="fc7", classifier="fc8", feature_dims=(4096,), height=224, width=224,
                  any_size=True, mean=IMAGENET_MEAN, batch=48, verif_scale=0.05, clip_gradients=35,
                  verif_lr_mult=10),
    # Batch 64 is the paper's; the mean is that of the model's authors. With raw squares (scale 1) the loss
    # overflows by the third iteration; at 0.1 with clipping at 35 both heads learn.
    "resnet50": Base(feature="pool5", classifier="fc1000", feature_dims=(2048, 1, 1), height=224, width=224,
                     any_size=True, mean=(103.0626, 115.9029, 123.1516), batch=64, verif_scale=0.1,
                     clip_gradients=35, verif_lr_mult=10),
    # torchvision's geometry and weights; its other defaults are resnet50's, not measured again.
    "resnet50-torchvision": Base(feature="pool5", classifier="fc1000", feature_dims=(2048, 1, 1), height=224,
                                 width=224, any_size=True, mean=TORCHVISION_MEAN, batch=64, verif_scale=0.1,
                                 clip_gradients=35, verif_lr_mult=10),
    # Not in the paper: small enough for a CPU, trained from scratch. At a much larger scale the verification
    # head drives all features to zero before identification has begun to learn.
    "tiny": Base(feature="embedding", classifier="", feature_dims=(128, 4, 1), height=64, width=64,
                 any_size=False, mean=IMAGENET_MEAN, batch=32, verif_scale=0.2, clip_gradients=10,
                 verif_lr_mult=10),
}
