"""Prepare a dataset: `python -m data_prep DATASET --raw DIR --out DIR`."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import argparse
import sys
import time
from pathlib import Path

from data_prep.pairs import RATIOS
from data_prep.prepare import prepare
from data_prep.readers.registry import DATASETS
from reid.common.errors import Parser, command_line
from reid.formats.manifest import READINGS, STORES, parse_splits

HELP = {"anchors": "what is the first of a pair once an epoch: each augmented copy, or each image",
        "copies": "the five copies of an image: translations that are cropped anew each time, or fixed crops",
        "mirror": "with --flip: by chance, or each copy in both forms",
        "positives": "partners across cameras where there are others, or any",
        "negatives": "drawn evenly over the other identities' images, or over these identities"}


@command_line
def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    started = time.monotonic()
    manifest = prepare(options.dataset, options.raw, options.out, options.split, options.seed, options.epochs,
                       options.schedule, options.flip, options.variant,
                       {key: getattr(options, key) for key in READINGS}, options.validation,
                       options.store, options.wait)
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    images, identities = len(manifest.images.path), len(manifest.identities)
    mark = ", generated data" if manifest.generated else ""
    variant = f" {manifest.variant}" if manifest.variant else ""
    print(f"{options.dataset}{variant}{mark}: {images} images of {identities} identities, "
          f"{len(manifest.splits)} splits, {manifest.epochs} epochs of pairs in {options.out}: "
          f"{size:,} bytes, {time.monotonic() - started:.1f} s")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m data_prep", description=__doc__)
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--raw", type=Path, required=True,
                        help="the raw folder (csv: the CSV file; cuhk03: the .mat or a folder)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; what is whole is kept")
    parser.add_argument("--split", type=_splits, metavar="K,K-K|all",
                        help=f"numbers of splits as 0,2-4, or all (default: all; {_named('first_only')}: 0)")
    varied = [dataset for dataset in DATASETS.values() if dataset.variants]
    parser.add_argument("--variant",
                        choices=sorted({name for dataset in varied for name in dataset.variants}),
                        help="; ".join(f"{of.name}: {of.variants_are} (default: {of.variants[0]})"
                                       for of in varied))
    parser.add_argument("--seed", type=int, default=0,
                        help="of the pairs, and of splits that are drawn (default: 0)")
    parser.add_argument("--epochs", type=int, default=75, help="epochs of pairs to schedule (default: 75)")
    parser.add_argument("--schedule", choices=RATIOS, default="literal",
                        help="how negatives per positive grow; docs/data.md (default: literal)")
    parser.add_argument("--flip", action=argparse.BooleanOptionalAction,
                        help=f"mirror images at random (default: for {_named('flip')} only)")
    for key, values in READINGS.items():
        parser.add_argument(f"--{key}", choices=values, default=values[0],
                            help=f"{HELP[key]} (default: {values[0]})")
    parser.add_argument("--store", choices=STORES,
                        help="images as the bytes of their files, or as 256×256 pixels; docs/data.md "
                             f"(default: {STORES[0]}; of a folder that is there, its own)")
    parser.add_argument("--validation", type=int, default=0, metavar="N",
                        help="train without N of the training identities and test these instead of the "
                             "dataset's own (market1501)")
    parser.add_argument("--wait", action="store_true",
                        help="where another process works in --out, wait until it ends")
    return parser.parse_args(arguments)


def _named(fact: str) -> str:
    """Return the names of the datasets of which a fact is true."""
    return ", ".join(dataset.name for dataset in DATASETS.values() if getattr(dataset, fact))


def _splits(text: str) -> list[int] | str:
    return text if text == "all" else parse_splits(text)


if __name__ == "__main__":
    sys.exit(main())
