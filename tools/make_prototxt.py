"""Write the committed nets, prototxt/<base>/<objective>/{train,test,deploy,solver}.prototxt."""

import argparse
import sys
from pathlib import Path

from google.protobuf import text_format

from reid.nets.bases import BASES
from reid.nets.build import Source, deploy_net, test_net, train_net
from reid.nets.heads import OBJECTIVES, Heads
from reid.nets.solver import solver

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Market-1501. Written by tools/make_prototxt.py, not by hand. A run writes its own.\n"
DATA = "data/market1501"
CLASSES = 751                  # training identities
PAIRS_PER_EPOCH = 12936 * 5    # training images, each augmented five times and anchor of one pair
EPOCHS, FINAL_EPOCHS = 75, 10  # Section III-C 2


def main():
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
    for base in BASES:
        for objective in OBJECTIVES:
            for name, message in _messages(base, objective).items():
                path = ROOT / "prototxt" / base / objective / f"{name}.prototxt"
                texts[path] = HEADER + text_format.MessageToString(message)
    return texts


def _messages(base, objective):
    """The three nets and the solver of one base network and objective, by file name."""
    defaults = BASES[base]
    heads = Heads(objective, CLASSES, verif_scale=defaults.verif_scale, verif_lr_mult=defaults.verif_lr_mult)
    return {
        "train": train_net(base, heads, _source(defaults, "train")),
        "test": test_net(base, heads, _source(defaults, "test")),
        "deploy": deploy_net(base, 1, defaults.height, defaults.width),
        "solver": _solver(defaults, f"prototxt/{base}/{objective}", f"snapshots/{base}_{objective}"),
    }


def _source(defaults, role):
    return Source(pairs=f"{DATA}/split00/{role}", images=f"{DATA}/images", batch=defaults.batch, crop=224,
                  height=defaults.height, width=defaults.width, mean=defaults.mean, seed=0, workers=2)


def _solver(defaults, folder, snapshot_prefix):
    epoch = PAIRS_PER_EPOCH // defaults.batch
    return solver(f"{folder}/train.prototxt", f"{folder}/test.prototxt", lr=0.001, lr_final=0.0001,
                  lr_final_from=epoch * (EPOCHS - FINAL_EPOCHS), max_iter=epoch * EPOCHS, iter_size=1,
                  momentum=0.9, weight_decay=0.0005, clip_gradients=defaults.clip_gradients, test_iter=100,
                  test_interval=epoch, display=100, snapshot=epoch, snapshot_prefix=snapshot_prefix, seed=0)


if __name__ == "__main__":
    sys.exit(main())
