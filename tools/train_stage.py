"""Train a stage, after the stages that it starts from; rank the test identities; write the result."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import argparse
import os
import sys
from pathlib import Path

from data_prep.readers.registry import DATASETS
from reid.common.errors import InputError, Parser, command_line
from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import OBJECTIVES
from reid.stages import chain, recipe
from reid.stages.plan import Request, describe, plan, run

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
CHAINS = EXPERIMENTS / "stages.yaml"
RECIPES = {file.stem: file for file in sorted((EXPERIMENTS / "recipes").glob("*.yaml"))}


@command_line
def main() -> int:
    arguments = parse_arguments()
    followed = recipe.load(RECIPES[arguments.recipe])
    recipe.check_made_for(followed, arguments.base, arguments.objective)
    request = Request(
        stage=arguments.stage, data=real(arguments.data), out=real(arguments.out),
        base=arguments.base or followed.base or "resnet50",
        objective=arguments.objective or followed.objective or "vi", recipe=followed,
        splits=_splits(arguments.split), assignments=arguments.set, init=arguments.init, gpu=arguments.gpu,
        chains=chain.load(arguments.chains), chain=arguments.chain, catalogue=catalogue,
        strict=arguments.strict, check_data=check_data, wait=arguments.wait, datasets=DATASETS)
    if arguments.dry_run:
        print("\n".join([*describe(plan(request)), *recipe.describe(followed)]))
        return 0
    for folder in run(request):
        print(f"result: {folder / 'result.json'}")
    return 0


def real(path: Path) -> Path:
    """A path without symbolic links; where they go round in a loop, up to there."""
    return Path(os.path.realpath(path))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="tools/train_stage.sh", description=__doc__)
    parser.add_argument("stage", help="a stage of the chain (market1501, cuhk03, cuhk01, viper, large), or a "
                                      "name of your own for data of your own")
    parser.add_argument("--data", type=Path, required=True,
                        help="a folder written by python -m data_prep, or a folder of such folders named by "
                             "stage")
    parser.add_argument("--out", type=Path, required=True,
                        help="folder of the runs; the same command resumes in it")
    parser.add_argument("--base", choices=BACKBONES, help="default: the recipe's, else resnet50")
    parser.add_argument("--objective", choices=OBJECTIVES,
                        help="vi: both, v: verification, i: identification; default: the recipe's, else vi")
    parser.add_argument("--recipe", choices=RECIPES, default="paper",
                        help="settings of experiments/recipes, which --set overrides; default: paper")
    parser.add_argument("--split", default="0", metavar="K|all",
                        help="a split (default 0), or all that are prepared")
    parser.add_argument("--init", type=Path, metavar="FILE",
                        help=".caffemodel to load the backbone from, in place of the chain's stages before")
    parser.add_argument("--chain", metavar="NAME",
                        help="which stages come before; default: the first of the file")
    parser.add_argument("--chains", type=Path, default=CHAINS, metavar="FILE",
                        help="default: experiments/stages.yaml")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--strict", action="store_true",
                        help="what the pre-flight finds surprising is an error")
    parser.add_argument("--wait", action="store_true",
                        help="where another process works in one of the runs, wait until it ends")
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=int, metavar="N", help="the number of an NVIDIA card")
    device.add_argument("--cpu", action="store_true", help="the default")
    parser.add_argument("--threads", type=int, metavar="N",
                        help="that compute on the CPU; default: OMP_NUM_THREADS, or one for each core")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="[STAGE.]key=value",
                        help="settings, as in docs/training.md, of all stages or of one")
    arguments = parser.parse_args()
    if arguments.threads is not None:
        arguments.set.append(f"threads={arguments.threads}")
    if arguments.init and arguments.chain:
        parser.error("--init starts from a file, --chain from other stages: give one of them")
    return arguments


def catalogue(name: str) -> Path:
    """The path of ImageNet weights by their name in weights/."""
    from weights.catalogue import path  # only where a chain starts from ImageNet
    return path(name)


def check_data(folder: Path, splits: list[str]) -> None:
    """Refuse prepared data that `python -m data_prep.check` would."""
    from data_prep.check import prove  # only where something is trained
    prove(folder, splits)


def _splits(text: str) -> list[int] | None:
    """None for all, or the one number asked for."""
    if text == "all":
        return None
    if not text.isdecimal():
        raise InputError(f"--split {text}: give the number of a split, or all")
    return [int(text)]


if __name__ == "__main__":
    sys.exit(main())
