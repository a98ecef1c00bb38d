r"""Which scale, clipping and learning rate let the verification head learn.

The runs behind the defaults of reid.nets.backbones. Trains the same net on the same pairs once per variant,
from the same weights and seed, and prints for each when it diverged or what its losses came to. Results and
what was concluded from them: docs/verification-head.md.

    .venv/bin/python benchmarks/verification_head/run.py --data DIR --base resnet50 --init FILE \
        --input 128x64 --pairs 8 --iterations 150 --variant 1,-1,10 --variant 0.1,35,10
"""
import argparse
import sys
import tempfile
import time
from pathlib import Path

from trial import Trial, losses

from reid.nets.backbones.registry import BACKBONES

WINDOW = 50       # iterations that a reported loss is the mean of


def size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="what data_prep wrote; split 0 is used")
    parser.add_argument("--base", choices=BACKBONES, required=True)
    parser.add_argument("--init", help="caffemodel to start from; without it, from random weights")
    parser.add_argument("--input", type=size, metavar="HxW", help="size of the net's input")
    parser.add_argument("--pairs", type=int, default=8, help="pairs an iteration")
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--variant", action="append", required=True, metavar="S,CLIP,LR_MULT",
                        help="scale s, clip_gradients (-1: none), lr_mult of the verification fc; may be "
                             "repeated")
    arguments = parser.parse_args()
    base = BACKBONES[arguments.base]
    trial = Trial(data=Path(arguments.data), base=arguments.base, init=arguments.init, pairs=arguments.pairs,
                  input=arguments.input or (base.height, base.width), iterations=arguments.iterations)
    print(f"{arguments.base}, {arguments.pairs} pairs an iteration, lr 0.001; losses are means of {WINDOW} "
          "iterations")
    print("| s | clip_gradients | verification lr_mult | identification: first, last | "
          "verification: first, last, worst | s/iteration |")
    print("| --- | --- | --- | --- | --- | --- |")
    for variant in arguments.variant:
        scale, clip, lr_mult = map(float, variant.split(","))
        started = time.time()
        with tempfile.TemporaryDirectory() as folder:
            rows, _, _ = losses(trial, Path(folder), clip, verif_scale=scale, verif_lr_mult=lr_mult)
        seconds = (time.time() - started) / len(rows)
        if len(rows) < arguments.iterations:
            outcome = (f"{rows[0, 0]:.2f}, diverged at iteration {len(rows)} | "
                       f"{rows[0, 1]:.2f}, {rows[-1, 1]:.2f}, -")
        else:
            first, last = rows[:WINDOW].mean(axis=0), rows[-WINDOW:].mean(axis=0)
            outcome = f"{first[0]:.2f}, {last[0]:.2f} | {first[1]:.3f}, {last[1]:.3f}, {rows[:, 1].max():.2f}"
        print(f"| {scale:g} | {'none' if clip < 0 else f'{clip:g}'} | {lr_mult:g} | {outcome} | "
              f"{seconds:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
