"""The readers by name, and the variants in which some datasets come."""

from pathlib import Path

from data_prep.index import Index
from data_prep.readers import cuhk01, cuhk03, folder, large, market1501, table, viper
from reid.common.errors import InputError

READERS = {"viper": viper.read, "cuhk01": cuhk01.read, "cuhk03": cuhk03.read, "market1501": market1501.read,
           "large": large.read, "folder": folder.read, "csv": table.read}
VARIANTS = {"cuhk01": cuhk01.VARIANTS, "cuhk03": cuhk03.BOXES, "large": cuhk03.BOXES}
"""The variants of a dataset, the paper's own first: how many people are tested, or which boxes are read."""


def read(dataset: str, root: Path, variant: str | None = None) -> Index:
    """Read the raw dataset `dataset` (a key of READERS) at `root`; InputError says what is wrong with it.

    `variant`: one of VARIANTS[dataset], None for the first of them.
    """
    if dataset not in READERS:
        raise InputError(f"dataset {dataset!r} is not known; choose one of {', '.join(READERS)}")
    variants = VARIANTS.get(dataset, ())
    if variant is not None and variant not in variants:
        raise InputError(f"variant {variant!r}: {dataset} has "
                         + (f"the variants {' and '.join(variants)}" if variants else "no variants"))
    if variants:
        return READERS[dataset](Path(root), variant or variants[0])
    return READERS[dataset](Path(root))
