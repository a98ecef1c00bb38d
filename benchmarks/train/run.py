"""Pairs a second of the paper's training.

This project's Caffe, its stock settings, and PyTorch eager, side by side.

    .venv/bin/python benchmarks/train/run.py [--gpu N]

README.md beside this file says what is measured and how to get PyTorch.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.alone import run_alone
from data_prep.people.write import write
from data_prep.prepare import prepare
from reid.common.errors import InputError, Parser, command_line
from reid.engine.device import has_bfloat16

PAPER = {"resnet50": 64, "vgg16": 48}      # pairs a batch
STOCK = {"CAFFE_CUDNN_WORKSPACE_MB": "8", "CAFFE_TF32": "0", "CAFFE_CUDNN_DETERMINISTIC": "0",
         "CAFFE_FUSE": "0"}
LOSSES_APART, UPDATES_APART = 1e-4, 5e-3   # relative, of what both frameworks compute
GB = 1e9


@dataclass(frozen=True)
class Variant:
    """What runs in a process: a side of measure.py, its options and its environment."""
    name: str
    side: str
    options: tuple = ()
    environment: tuple = ()


OWN = {"CAFFE_ONEDNN": "0", "CAFFE_FUSE": "0"}      # Caffe's own layers, one by one
ON_CPU = (Variant("Caffe", "ours"), Variant("PyTorch", "peer"),
          Variant("Caffe, its own layers", "ours", (), tuple(OWN.items())))
IN_BFLOAT16 = (Variant("Caffe, bfloat16", "ours", environment=(("CAFFE_BF16", "1"),)),
               Variant("PyTorch, bfloat16", "peer", ("--bfloat16",)))      # where the CPU multiplies in it
ON_GPU = (Variant("Caffe", "ours"),
          Variant("Caffe, its own layers", "ours", environment=(("CAFFE_FUSE", "0"),)),
          Variant("Caffe, any algorithm", "ours", environment=(("CAFFE_CUDNN_DETERMINISTIC", "0"),)),
          Variant("Caffe, TF32 off", "ours", environment=(("CAFFE_TF32", "0"),)),
          Variant("Caffe, stock settings", "ours", environment=tuple(STOCK.items())),
          Variant("PyTorch, TF32", "peer", ("--tf32",)), Variant("PyTorch, fp32", "peer"))


@command_line
def main() -> int:
    options = parse_options()
    variants = chosen(options)
    where = f"{os.cpu_count()} processors" if options.gpu is None else f"GPU {options.gpu}"
    print(f"{where}, {options.threads} BLAS threads, load {os.getloadavg()[0]:.1f}; "
          f"{options.input} pixels; {options.updates} updates after {options.warm_up}, median of "
          f"{options.repeats} turns; "
          f"{'one batch again and again' if options.fixed else 'fed from pair LMDBs'}")
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        data = None if options.fixed else options.data or generated(Path(folder) / "people")
        for base in options.base:
            if any(variant.side == "peer" for variant in variants):
                check(base, Path(folder), options)
            seen = take_turns(base, variants, data, options)
            table(base, options.batch or PAPER[base], seen)
            measured[base] = seen
    if options.json:
        options.json.write_text(json.dumps({"load": os.getloadavg(), "options": vars(options),
                                            "measured": measured},
                                           default=str, indent=1) + "\n")
    return 0


def chosen(options: argparse.Namespace) -> list[Variant]:
    """The variants that can be measured here, or those that were asked for."""
    known = ON_CPU + IN_BFLOAT16 * has_bfloat16() if options.gpu is None else ON_GPU
    variants = [v for v in known if v.name in (options.variant or [v.name])]
    torch = subprocess.run([options.torch_python, "-c", "import torch"], stderr=subprocess.DEVNULL)
    if any(v.side == "peer" for v in variants) and torch.returncode:
        print("PyTorch is not installed: Caffe is measured alone (README.md says how to get it)")
        variants = [v for v in variants if v.side == "ours"]
    if not variants or variants[0].name != "Caffe":
        raise InputError(f"--variant {options.variant}: all are compared with Caffe; there are "
                         f"{', '.join(v.name for v in known)}")
    return variants


def generated(folder: Path) -> Path:
    """Prepared pairs of 64 generated people."""
    write(folder / "raw", "viper", identities=64, seed=0)
    prepare("viper", folder / "raw", folder / "data", splits=[0], epochs=2)
    return folder / "data"


def check(base: str, folder: Path, options: argparse.Namespace) -> None:
    """Both frameworks compute the same.

    Losses and weights of two updates from the same weights, batches and masks.
    """
    record = folder / f"{base}.npz"
    small = ["--base", base, "--input", "64x64", "--batch", "5", "--rate", "1e-4"]
    measure("ours", [*small, "--updates", "2", "--record", record], options)
    found = measure("peer", [*small, "--compare", record], options)
    print(f"\n{base}: losses of 2 updates on both sides differ by {max(found['losses']):.1e}, what was "
          f"learnt by {found['updates']:.1e} ({found['worst']}), of {found['parameters']} parameters")
    if max(found["losses"]) > LOSSES_APART or found["updates"] > UPDATES_APART:
        raise InputError(f"{base}: Caffe and PyTorch do not compute the same, so their speeds cannot be "
                         "compared")


def take_turns(base: str, variants: Sequence[Variant], data: Path | None,
               options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """{name: [what measure.py saw, …]}; a turn runs every variant, so that a busy machine is so for all."""
    seen = {variant.name: [] for variant in variants}
    arguments = ["--base", base, "--batch", options.batch or PAPER[base], "--input", options.input,
                 "--updates", options.updates, "--warm-up", options.warm_up]
    arguments += ["--data", data] if data else []
    arguments += [] if options.gpu is None else ["--gpu", options.gpu]
    for _ in range(options.repeats):
        for variant in variants:
            seen[variant.name].append(measure(variant.side, [*arguments, *variant.options], options,
                                              variant.environment))
            speed = seen[variant.name][-1]["pairs_per_second"]
            print(f"{base}, {variant.name}: {speed:.4g} pairs/s", flush=True)
    return seen


def measure(side: str, arguments: Sequence[object], options: argparse.Namespace,
            environment: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """What a process of measure.py prints; InputError where it fails."""
    python = options.torch_python if side == "peer" else sys.executable
    return run_alone(Path(__file__).with_name("measure.py"), side, *arguments, python=python,
                     OMP_NUM_THREADS=str(options.threads), **dict(environment))


def table(base: str, batch: int, seen: dict[str, list[dict[str, Any]]]) -> None:
    """Print the variants' medians, how much faster Caffe is than each, and their memory."""
    rates = {name: [run["pairs_per_second"] for run in runs] for name, runs in seen.items()}
    ours = statistics.median(rates["Caffe"])
    print(f"\n{base}, {batch} pairs\n")
    print("| | pairs/s | lowest to highest | Caffe / this | memory, GB | estimated |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, runs in seen.items():
        middle, estimate = statistics.median(rates[name]), runs[0]["estimate"]
        print(f"| {name} | {middle:.3g} | {min(rates[name]):.3g} to {max(rates[name]):.3g} | "
              f"{ours / middle:.2f} | {max(run['memory'] for run in runs) / GB:.2f} | "
              f"{f'{estimate / GB:.2f}' if estimate else ''} |", flush=True)


def parse_options() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", type=int, metavar="N", help="default: the CPU")
    parser.add_argument("--base", nargs="+", choices=PAPER, default=list(PAPER))
    parser.add_argument("--batch", type=int, help="pairs; default: the paper's, 64 and 48")
    parser.add_argument("--input", default="224x224", metavar="HxW")
    parser.add_argument("--data", type=Path, help="folder that data_prep wrote; default: generated people")
    parser.add_argument("--fixed", action="store_true",
                        help="one made-up batch that stays on the device: no feed")
    parser.add_argument("--updates", type=int, help="timed in a turn; default: 30 on a GPU, 2 on the CPU")
    parser.add_argument("--warm-up", type=int, help="updates before; default: 10 on a GPU, 1 on the CPU")
    parser.add_argument("--repeats", type=int, default=3, help="turns (default: 3)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="default: one a processor")
    parser.add_argument("--torch-python", default=sys.executable,
                        help="a Python that has PyTorch; default: this one")
    parser.add_argument("--variant", nargs="+", help="names as in the table; default: all")
    parser.add_argument("--json", type=Path, help="write all that was seen")
    options = parser.parse_args()
    options.updates = options.updates or (2 if options.gpu is None else 30)
    options.warm_up = (1 if options.gpu is None else 10) if options.warm_up is None else options.warm_up
    return options


if __name__ == "__main__":
    sys.exit(main())
