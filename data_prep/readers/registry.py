"""The datasets by name: those of all files in this folder that define a DATASET."""

import importlib
import pkgutil
from pathlib import Path

from data_prep import readers
from data_prep.index import Index
from data_prep.readers.dataset import Dataset
from reid.common.errors import InputError


def _found() -> dict[str, Dataset]:
    names = sorted(module.name for module in pkgutil.iter_modules(readers.__path__))
    modules = [importlib.import_module(f"{readers.__name__}.{name}") for name in names if name != "registry"]
    found = [module.DATASET for module in modules if hasattr(module, "DATASET")]
    return {dataset.name: dataset for dataset in found}


DATASETS = _found()


def read(name: str, root: Path, variant: str | None = None) -> Index:
    """Read the raw dataset `name` (a key of DATASETS) at `root`; InputError says what is wrong with it.

    `variant`: one of the dataset's, None for the first of them.
    """
    if name not in DATASETS:
        raise InputError(f"dataset {name!r} is not known; choose one of {', '.join(DATASETS)}")
    dataset = DATASETS[name]
    if variant is not None and variant not in dataset.variants:
        raise InputError(f"variant {variant!r}: {name} has " + (
            f"the variants {' and '.join(dataset.variants)}" if dataset.variants else "no variants"))
    if dataset.variants:
        return dataset.read(Path(root), variant or dataset.variants[0])
    return dataset.read(Path(root))
