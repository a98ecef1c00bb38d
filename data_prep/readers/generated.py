"""The mark that the people generator leaves in a raw folder, in place of a dataset's published numbers."""

import json
from pathlib import Path

from reid.common.errors import InputError

MARK = "GENERATED.json"
MOST = 100_000    # people that are generated at once


def read_mark(root: Path, dataset: str, counts=()) -> dict | None:
    """Return what the people generator says it wrote into a raw folder, None where it wrote nothing there.

    {"identities": how many, "counts": what it says of each name in `counts`}. Raises InputError where the
    mark is damaged or of another dataset's layout.
    """
    path = root / MARK
    if not path.exists():
        return None
    try:
        mark = json.loads(path.read_text())
        layout, identities = mark["layout"], int(mark["identities"])
        if not isinstance(layout, str) or not 0 < identities <= MOST:
            raise ValueError
        numbers = {name: mark["counts"][name] for name in counts if layout.startswith(dataset)}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: damaged; generate the people again") from error
    if layout.split("-")[0] != dataset:
        raise InputError(f"{path}: these people were generated in the layout {layout}, not in {dataset}'s")
    return {"identities": identities, "counts": numbers}
