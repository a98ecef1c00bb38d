"""Write the committed nets, prototxt/<base>/<objective>/{train,test,deploy,solver}.prototxt."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import Message

from data_prep.pairs import TRANSLATIONS
from data_prep.readers.market1501 import COUNTS
from reid.common.errors import command_line
from reid.engine.schedule import schedule
from reid.engine.settings import defaults
from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import OBJECTIVES
from reid.nets.prototxt import stage_nets, stage_solver
from tools.generated import ROOT, write_stale

HEADER = "# Market-1501. Written by tools/make_prototxt.py, not by hand. A run writes its own.\n"
DATA = "data/market1501"
EPOCHS = 75    # Section III-C 2
# As python -m data_prep prepares it: five pairs for each training image in an epoch, four held-out a query.
PAIRS_AN_EPOCH = COUNTS["bounding_box_train"] * TRANSLATIONS
PAIRS = SimpleNamespace(path=DATA, offsets=np.arange(EPOCHS + 1) * PAIRS_AN_EPOCH)
HELD_OUT = SimpleNamespace(total=4 * COUNTS["query"])


@command_line
def main() -> int:
    return write_stale(__doc__, files)


def files() -> dict[Path, str]:
    """What is to be committed: {path: text}."""
    texts = {}
    for base in BACKBONES:
        for objective in OBJECTIVES:
            for name, message in _messages(base, objective).items():
                path = ROOT / "prototxt" / base / objective / f"{name}.prototxt"
                texts[path] = HEADER + text_format.MessageToString(message)
    return texts


def _messages(base: str, objective: str) -> dict[str, Message]:
    """The three nets and the solver of one backbone and objective, by file name."""
    settings, folder = defaults(base), f"prototxt/{base}/{objective}"
    nets = stage_nets(base, objective, COUNTS["training identities"], settings, f"{DATA}/images",
                      f"{DATA}/split00")
    return {**nets, "solver": stage_solver(folder, settings, schedule(settings, PAIRS, HELD_OUT),
                                           f"snapshots/{base}_{objective}", by_caffe=True)}


if __name__ == "__main__":
    sys.exit(main())
