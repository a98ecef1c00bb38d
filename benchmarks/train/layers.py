r"""Milliseconds and share of each kind of layer, forward and backward, in a training iteration; the solver's.

    .venv/bin/python benchmarks/train/layers.py --base resnet50 --input 128x64 --batch 16 \
        [--gpu 0] [--repeats 5] [--each] [--json FILE]

A layer and those that work in place on its blob go together, as the engine computes them; CAFFE_FUSE=0 and
CAFFE_ONEDNN=0 in the environment show what it is without. Each is timed alone and the least of the repeats
counts, on a GPU after everything before it has ended.
"""
import argparse
import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GLOG_minloglevel", "2")      # Caffe reads it when it is imported

import caffe
import ours

from benchmarks.memory import status
from reid.common.errors import Parser, command_line
from reid.nets.backbones.registry import BACKBONES


@command_line
def main() -> int:
    options = parse_options()
    training = ours.Training(options)
    net = training.net
    wait = (lambda: None) if options.gpu is None else ctypes.CDLL("libcudart.so.13").cudaDeviceSynchronize

    def least(work: Callable[[], object]) -> float:
        work()
        times = []
        for _ in range(options.repeats):
            wait()
            began = time.perf_counter()
            work()
            wait()
            times.append(1e3 * (time.perf_counter() - began))
        return min(times)

    training.update()
    units = together(net)
    forward = [least(lambda unit=unit: net._forward(unit[0], unit[-1])) for unit in units]
    backward = [least(lambda unit=unit: net._backward(unit[-1], unit[0])) for unit in reversed(units)][::-1]
    whole = least(training.update)
    kinds = {}
    for unit, there, back in zip(units, forward, backward):
        row = kinds.setdefault(" + ".join(net.layers[i].type for i in unit), [0, 0, 0])
        for i, value in enumerate((1, there, back)):
            row[i] += value
    kinds = sorted(kinds.items(), key=lambda item: -sum(item[1][1:]))
    seen = {"kinds": [[kind, *row] for kind, row in kinds],
            "layers": len(net.layers), "forward": sum(forward), "backward": sum(backward), "whole": whole,
            "operations": ours.operations(net), "memory": status("VmHWM")}
    print(f"{options.base}, {options.batch} pairs of {options.input[0]}×{options.input[1]}, "
          f"{'CPU' if options.gpu is None else 'GPU'}, load {os.getloadavg()[0]:.1f}; "
          f"{seen['memory'] / 1e9:.2f} GB at most, {training.estimate / 1e9:.2f} expected\n")
    print(table(seen))
    if options.json:
        options.json.write_text(json.dumps(seen) + "\n")
    if options.each:
        for unit, there, back in zip(units, forward, backward):
            print(f"{' '.join(net._layer_names[i] for i in unit):60} {there:9.3f} {back:9.3f}")
    return 0


def table(seen: dict[str, Any]) -> str:
    """Markdown of what --json writes: milliseconds of all layers of a kind, the most expensive kind first."""
    whole, between = seen["whole"], seen["whole"] - seen["forward"] - seen["backward"]
    lines = ["| layers | number | forward, ms | backward, ms | share of the update |",
             "| --- | --- | --- | --- | --- |"]
    lines += [f"| {kind} | {count} | {there:.1f} | {back:.1f} | {100 * (there + back) / whole:.1f} % |"
              for kind, count, there, back in seen["kinds"]]
    return "\n".join([*lines,
                      f"| the solver, and what lies between | | | | {100 * between / whole:.1f} % |",
                      f"| all | {seen['layers']} | {seen['forward']:.1f} | {seen['backward']:.1f} | "
                      f"{whole:.1f} ms |"])


def together(net: caffe.Net) -> list[list[int]]:
    """Numbers of the layers in lists: each with those after it that work in place on its one blob."""
    units = []
    for i, name in enumerate(net._layer_names):
        tops, bottoms = net.top_names[name], net.bottom_names[name]
        if units and len(tops) == 1 and tops == bottoms == net.top_names[net._layer_names[units[-1][0]]]:
            units[-1].append(i)
        else:
            units.append([i])
    return units


def parse_options() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", choices=BACKBONES, default="resnet50")
    parser.add_argument("--input", type=lambda text: tuple(map(int, text.split("x"))), default=(128, 64),
                        metavar="HxW")
    parser.add_argument("--batch", type=int, default=16, help="pairs (default: 16)")
    parser.add_argument("--gpu", type=int, metavar="N", help="default: the CPU")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--each", action="store_true", help="every layer too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what the table is made of")
    parser.set_defaults(classes=751, rate=0.001, data=None)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
