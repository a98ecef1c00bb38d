"""Write the committed nets, prototxt/<base>/<objective>/{train,test,deploy,solver}.prototxt."""

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from google.protobuf import text_format

from data_prep.pairs import TRANSLATIONS
from data_prep.readers.market1501 import COUNTS
from reid.engine.schedule import schedule
from reid.engine.settings import defaults
from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import OBJECTIVES
from reid.nets.prototxt import stage_nets, stage_solver

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Market-1501. Written by tools/make_prototxt.py, not by hand. A run writes its own.\n"
DATA = "data/market1501"
EPOCHS = 75    # Section III-C 2
# As python -m data_prep prepares it: five pairs for each training image in an epoch, four held-out a query.
PAIRS_AN_EPOCH = COUNTS["bounding_box_train"] * TRANSLATIONS
PAIRS = SimpleNamespace(path=DATA, offsets=np.arange(EPOCHS + 1) * PAIRS_AN_EPOCH)
HELD_OUT = SimpleNamespace(total=4 * COUNTS["query"])


def main() -> int:
    """Write prototxt/, or with --check say what in it is stale; 1 where something is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    check = parser.parse_args().check
    stale = {path: text for path, text in files().items() if not path.is_file() or path.read_text() != text}
    for path, text in stale.items():
        print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 1 if check and stale else 0


def files():
    """What is to be committed: {path: text}."""
    texts = {}
    for base in BACKBONES:
        for objective in OBJECTIVES:
            for name, message in _messages(base, objective).items():
                path = ROOT / "prototxt" / base / objective / f"{name}.prototxt"
                texts[path] = HEADER + text_format.MessageToString(message)
    return texts


def _messages(base, objective):
    """The three nets and the solver of one backbone and objective, by file name."""
    settings, folder = defaults(base), f"prototxt/{base}/{objective}"
    nets = stage_nets(base, objective, COUNTS["training identities"], settings, f"{DATA}/images",
                      f"{DATA}/split00")
    return {**nets, "solver": stage_solver(folder, settings, schedule(settings, PAIRS, HELD_OUT),
                                           f"snapshots/{base}_{objective}", by_caffe=True)}


if __name__ == "__main__":
    sys.exit(main())
