"""VGG-16 as its authors published it for Caffe (Simonyan & Zisserman, 2014), up to fc7.

Layer names are theirs, so that the ImageNet caffemodel loads by name. With those weights the input must be
224×224, because the shape of fc6 follows from it. The dropout after fc6 stays, with one mask for both images
of a pair, as the paper asks of the siamese net's dropout.
"""

from caffe import NetSpec, layers as L, params as P
from caffe.net_spec import Top

from reid.nets.backbones.backbone import IMAGENET_MEAN, Backbone
from reid.nets.mask import shared_mask

STAGES = ((1, 64, 2), (2, 128, 2), (3, 256, 3), (4, 512, 3), (5, 512, 3))     # stage, channels, convolutions
LEARNED = [dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)]      # weight, bias


def add_layers(n: NetSpec, pairs: int) -> None:
    """Add the layers to NetSpec `n`, from n.data to n.fc7, (B, 4096), after its ReLU.

    `pairs` is how many pairs are stacked in n.data; 0 leaves the dropout out, as the deploy net does.
    """
    bottom = n.data
    for stage, channels, convolutions in STAGES:
        for i in range(1, convolutions + 1):
            name = f"conv{stage}_{i}"
            n[name] = L.Convolution(bottom, num_output=channels, kernel_size=3, pad=1,
                                    weight_filler=dict(type="msra"), param=LEARNED)
            n[f"relu{stage}_{i}"] = L.ReLU(n[name], in_place=True)
            bottom = n[name]
        bottom = n[f"pool{stage}"] = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    bottom = _fully_connected(n, bottom, 6)
    if pairs:
        shared_mask(n, "mask6", [pairs, 4096], ratio=0.5)
        n.mask6_both = L.Concat(n.mask6, n.mask6, axis=0)
        bottom = n.drop6 = L.Eltwise(bottom, n.mask6_both, operation=P.Eltwise.PROD)
    _fully_connected(n, bottom, 7)


def _fully_connected(n: NetSpec, bottom: Top, number: int) -> Top:
    """fc6 or fc7 and its ReLU in place; returns its top."""
    name = f"fc{number}"
    n[name] = L.InnerProduct(bottom, num_output=4096, weight_filler=dict(type="msra"), param=LEARNED)
    n[f"relu{number}"] = L.ReLU(n[name], in_place=True)
    return n[name]


# Batch 48 is the paper's. fc7 differences are larger than pool5's and there are twice as many: half of
# ResNet-50's scale keeps the verification gradient near what was measured to be stable there.
BACKBONE = Backbone(name="vgg16", add_layers=add_layers, feature="fc7", classifier="fc8",
                    feature_dims=(4096,), height=224, width=224, any_size=True, mean=IMAGENET_MEAN, batch=48,
                    verif_scale=0.05, clip_gradients=35, verif_lr_mult=10,
                    other_features=("pool5",))
