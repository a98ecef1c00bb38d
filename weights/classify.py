"""Classify photographs with an ImageNet caffemodel in real Caffe, to check that its weights are right.

Each photograph's shorter side is brought to 256 pixels, and the 224×224 in the centre is classified. Without
IMAGE the two sample photographs of scikit-learn are taken: china.jpg, a Chinese palace, and flower.jpg.
"""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from weights import quiet  # noqa: F401  (before anything that imports Caffe)

# isort: split
import caffe
import cv2
import numpy as np
import sklearn.datasets
from google.protobuf import text_format

from reid.common.errors import InputError, Parser, command_line
from reid.formats import weights_record
from reid.formats.caffemodel import read_caffemodel
from reid.formats.picture import read_picture
from reid.nets import fit
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import classifier_net
from weights import catalogue

SIDE, CROP = 256, 224


def classifier(caffemodel: Path) -> tuple[caffe.Net, Sequence[float]]:
    """Real Caffe's classifier with these weights, and the mean (BGR) that their record names."""
    record = weights_record.read(caffemodel)
    if record is None:
        raise InputError(f"{weights_record.path(caffemodel)}: not there; "
                         f"python -m weights.convert {caffemodel} --base BASE "
                         "--out FILE writes a copy with it")
    base = record.base
    if base not in BACKBONES:
        raise InputError(f"{weights_record.path(caffemodel)}: base {base} is not known; there are "
                         f"{', '.join(BACKBONES)}")
    layers, whole = read_caffemodel(caffemodel), classifier_net(base, 1, CROP, CROP)
    if BACKBONES[base].classifier not in layers:
        raise InputError(f"{caffemodel}: has no layer {BACKBONES[base].classifier}, so it classifies nothing")
    fit.check(caffemodel, layers, fit.parameters(whole), base)
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text_format.MessageToString(whole))
        file.flush()
        net = caffe.Net(file.name, caffe.TEST)
    fit.load(net, layers)
    return net, record.mean


def probabilities(net: caffe.Net, mean: Sequence[float], image: np.ndarray) -> np.ndarray:
    """(1000,) of an image, uint8 (H, W, 3) BGR."""
    height, width = image.shape[:2]
    scale = SIDE / min(height, width)
    image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    top, left = (image.shape[0] - CROP) // 2, (image.shape[1] - CROP) // 2
    crop = image[top:top + CROP, left:left + CROP] - np.float32(mean)
    net.blobs["data"].data[0] = crop.transpose(2, 0, 1)
    return net.forward()["prob"].ravel().copy()


def _photographs(paths: Sequence[Path]) -> Sequence[tuple[Path | str, np.ndarray]]:
    """[(name, image in BGR), …]."""
    if not paths:
        samples = sklearn.datasets.load_sample_images()
        names = [Path(name).name for name in samples.filenames]
        return [(name, image[:, :, ::-1]) for name, image in zip(names, samples.images)]
    return [(path, read_picture(path)) for path in paths]


@command_line
def main() -> int:
    parser = Parser(prog="python -m weights.classify", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS",
                        help="a name of the catalogue, or a .caffemodel with its record")
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    arguments = parser.parse_args()
    named = arguments.weights in catalogue.entries()
    net, mean = classifier(catalogue.path(arguments.weights) if named else Path(arguments.weights))
    classes = Path(__file__).with_name("imagenet_classes.txt").read_text().splitlines()
    for name, image in _photographs(arguments.images):
        found = probabilities(net, mean, image)
        best = np.argsort(-found)[:5]
        print(f"{name}:", ", ".join(f"{classes[i]} ({i}) {100 * found[i]:.1f} %" for i in best))
    return 0


if __name__ == "__main__":
    sys.exit(main())
