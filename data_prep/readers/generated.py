"""GENERATED.json, which marks a raw folder of generated people and replaces a dataset's published counts."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NotRequired, TypedDict

from reid.common.errors import InputError
from reid.formats import json_record
from reid.formats.json_record import Count, Range

MARK = "GENERATED.json"
MOST = 100_000    # people at most in one generated folder


class Mark(TypedDict):
    """What GENERATED.json holds."""
    layout: str
    identities: Annotated[int, Range(1, MOST)]
    tested: NotRequired[Count | None]
    counts: NotRequired[dict]


def read_mark(root: Path, dataset: str, counts: Mapping[str, int | list[int]] = MappingProxyType({})
              ) -> dict | None:
    """Return what GENERATED.json in a raw folder says, None where there is no such file.

    {"identities": their number, "tested": how many of them each split tests, None for the real dataset's
    proportion, "counts": those that stand in place of the real dataset's `counts`}. Raises InputError where
    the file is damaged or of another dataset's layout.
    """
    path = root / MARK
    if not path.exists():
        return None
    mark = json_record.parse(path, "generate the people again")
    json_record.check_value(mark, Mark, "", path, "damaged; generate the people again")
    if mark["layout"].split("-")[0] != dataset:
        raise InputError(f"{path}: these people were generated in the layout {mark['layout']}, not in "
                         f"{dataset}'s")
    kinds = {name: tuple[(Count,) * len(own)] if isinstance(own, list) else Count
             for name, own in counts.items()}
    json_record.check_value(mark.get("counts", {}), TypedDict("Counts", kinds), "counts", path,
                            "damaged; generate the people again")
    tested = mark.get("tested")
    if tested is not None and not 1 <= tested <= mark["identities"] // 2:
        raise InputError(f"{path}: damaged: tested is {tested}; it must be from 1 to "
                         f"{mark['identities'] // 2}; generate the people again")
    return {"identities": mark["identities"], "tested": tested,
            "counts": {name: mark["counts"][name] for name in counts}}
