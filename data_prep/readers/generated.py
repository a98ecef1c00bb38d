"""GENERATED.json, which marks a raw folder of generated people and replaces a dataset's published counts."""

import json
from collections.abc import Iterable
from pathlib import Path

from reid.common.errors import InputError
from reid.common.files import read_bytes

MARK = "GENERATED.json"
MOST = 100_000    # people at most in one generated folder


def read_mark(root: Path, dataset: str, counts: Iterable[str] = ()) -> dict | None:
    """Return what GENERATED.json in a raw folder says, None where there is no such file.

    {"identities": their number, "tested": how many of them each split tests, None for the real dataset's
    proportion, "counts": the recorded counts of the names in `counts`}. Raises InputError where the file is
    damaged or of another dataset's layout.
    """
    path = root / MARK
    if not path.exists():
        return None
    try:
        mark = json.loads(read_bytes(path).decode())
        layout, identities = mark["layout"], int(mark["identities"])
        tested = None if mark.get("tested") is None else int(mark["tested"])
        if not isinstance(layout, str) or not 0 < identities <= MOST:
            raise ValueError
        if tested is not None and not 1 <= tested <= identities // 2:
            raise ValueError
        numbers = {name: mark["counts"][name] for name in counts if layout.startswith(dataset)}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: damaged; generate the people again") from error
    if layout.split("-")[0] != dataset:
        raise InputError(f"{path}: these people were generated in the layout {layout}, not in {dataset}'s")
    return {"identities": identities, "tested": tested, "counts": numbers}
