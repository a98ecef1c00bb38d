"""Train one stage on prepared data, rank the test identities before and after, and record the result."""

import argparse
import sys
from pathlib import Path

from data_prep.errors import InputError, command_line
from reid.nets.bases import BASES
from reid.nets.heads import OBJECTIVES
from reid.training.settings import defaults, override
from reid.training.stage import Job, run_stage


@command_line
def main():
    parser = argparse.ArgumentParser(prog="tools/train_stage.sh", description=__doc__)
    parser.add_argument("stage", help="viper, or a name of your own for data of your own")
    parser.add_argument("--data", type=Path, required=True, help="folder written by python -m data_prep")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs; the same command goes on in it")
    parser.add_argument("--base", choices=BASES, default="resnet50")
    parser.add_argument("--objective", choices=OBJECTIVES, default="vi",
                        help="vi: both losses (default), v: verification, i: identification")
    parser.add_argument("--split", default="0", metavar="K|all", help="a split (default 0), or all that are prepared")
    parser.add_argument("--init", type=Path, metavar="FILE", help=".caffemodel to start the trunk from; else random")
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=int, metavar="N")
    device.add_argument("--cpu", action="store_true", help="the default")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="key=value",
                        help="settings, as in docs/training.md")
    arguments = parser.parse_args()

    settings = override(defaults(arguments.base), arguments.set)
    job = Job(arguments.stage, arguments.data.resolve(), arguments.out.resolve(), arguments.base, arguments.objective,
              settings, arguments.init, arguments.gpu)
    for folder in run_stage(job, _splits(arguments.split)):
        print(f"result: {folder / 'result.json'}")
    return 0


def _splits(text):
    """None for all, or the one number asked for."""
    if text == "all":
        return None
    if not text.isdecimal():
        raise InputError(f"--split {text}: give the number of a split, or all")
    return [int(text)]


if __name__ == "__main__":
    sys.exit(main())
