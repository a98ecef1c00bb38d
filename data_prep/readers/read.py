"""The readers by name, and what they share."""

from pathlib import Path

from data_prep.errors import InputError
from data_prep.index import Index
from data_prep.readers import folder, table, viper

READERS = {"viper": viper.read, "folder": folder.read, "csv": table.read}


def read(dataset: str, root: Path) -> Index:
    """Read the raw dataset `dataset` (a key of READERS) at `root`; InputError says what is wrong with it."""
    if dataset not in READERS:
        raise InputError(f"dataset {dataset!r} is not known; choose one of {', '.join(READERS)}")
    return READERS[dataset](Path(root))
