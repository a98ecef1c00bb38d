"""Images a second whose features are computed: this project, PyTorch eager and OpenCV's dnn, in turn.

    .venv/bin/python benchmarks/extract/run.py --torch-python /tmp/torch/bin/python

README.md beside this file says what is measured.
"""
import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.alone import run_alone
from reid.common.errors import Parser, command_line

MEASURE = Path(__file__).with_name("measure.py")
IMAGES = {"128x64": 288, "224x224": 96}    # more than ImageFeed.FEW, so that workers prepare them
SIDES = ("ours", "pytorch", "opencv")
NAMES = {"ours": "reid.features.extract", "pytorch": "PyTorch, eager", "opencv": "OpenCV's dnn"}


@command_line
def main() -> int:
    options = parse_options()
    for size in options.input:
        seen = compare(size, options.images or IMAGES[size], options.repeats, options.torch_python)
        print(f"ResNet-50, {size}: {seen['operations'] / 1e9:.2f} GFLOP an image")
        for side, best in seen["sides"].items():
            print(f"  {NAMES[side]:22} {best['images_per_second']:7.1f} images/s  "
                  f"{best['memory'] / 2 ** 20:6.0f} MiB  features apart by {best['apart']:.0e}")
    return 0


def parse_options() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", nargs="+", default=list(IMAGES), choices=IMAGES, help="default: both")
    parser.add_argument("--images", type=int, metavar="N", help="default: 288 of 128x64, 96 of 224x224")
    parser.add_argument("--repeats", type=int, default=2,
                        help="turns, of which the fastest counts (default: 2)")
    parser.add_argument("--torch-python", type=Path, metavar="FILE",
                        help="a Python with PyTorch and NumPy; default: without PyTorch")
    return parser.parse_args()


def compare(size: str, images: int, repeats: int, torch_python: Path | None) -> dict[str, Any]:
    """{"operations": of an image, "sides": {side: its fastest turn}}, each side in a process of its own.

    InputError where a side's features are not those of Caffe's net: it is not timed.
    """
    sides = [side for side in SIDES if side != "pytorch" or torch_python]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        operations = run_alone(MEASURE, "write", work, size, images)["operations"]
        turns: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for _ in range(repeats):
            for side in sides:
                python = torch_python if side == "pytorch" else sys.executable
                turns[side].append(run_alone(MEASURE, side, work, size, python=python))
    fastest = {side: max(seen, key=lambda turn: turn["images_per_second"]) for side, seen in turns.items()}
    return {"operations": operations, "sides": fastest}


if __name__ == "__main__":
    sys.exit(main())
