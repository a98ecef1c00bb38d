"""One variant in a process of its own.

Warms up, makes updates against the clock, prints what it saw as a line of JSON.

run.py starts these; it says what the options mean.
"""
import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.memory import status

if TYPE_CHECKING:    # each brings a framework of its own, and no process loads both
    import ours
    import peer

os.environ.setdefault("GLOG_minloglevel", "2")      # Caffe reads it when it is imported


def main() -> None:
    options = parse_options()
    if options.side == "ours":
        import ours as side
    else:
        import peer as side
    training = side.Training(options)
    try:
        if options.record:
            training.record(options.record, options.updates)
            seen = {}
        elif options.compare:
            seen = training.compare(options.compare)
        else:
            seen = measured(training, options)
    finally:
        training.close()
    print(json.dumps(seen))


def measured(training: "ours.Training | peer.Training", options: argparse.Namespace) -> dict[str, Any]:
    """Pairs a second, the most memory, and the losses at the end."""
    for _ in range(options.warm_up):
        training.update()
    began = time.perf_counter()
    for _ in range(options.updates):
        losses = training.update()      # read, so that a GPU has ended its work
    seconds = time.perf_counter() - began
    memory = status("VmHWM") if options.gpu is None else training.memory()
    return {"pairs_per_second": options.batch * options.updates / seconds, "losses": losses, "memory": memory,
            "estimate": training.estimate}


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=("ours", "peer"))
    parser.add_argument("--base", choices=("resnet50", "vgg16"), required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--input", type=lambda text: tuple(map(int, text.split("x"))), default=(224, 224))
    parser.add_argument("--classes", type=int, default=751)
    parser.add_argument("--rate", type=float, default=0.001)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--gpu", type=int)
    parser.add_argument("--tf32", action="store_true")
    parser.add_argument("--bfloat16", action="store_true", help="of the peer, on the CPU: autocast")
    parser.add_argument("--warm-up", type=int, default=0)
    parser.add_argument("--updates", type=int, default=1)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--compare", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
