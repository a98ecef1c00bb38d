"""Small JSON files that hold one dataclass each: read, checked and written in one way.

A field without a default must be there. A record of before its kind had versions has no `format`, and is read
as one.
"""

import json
import types
import typing
from dataclasses import MISSING, asdict, fields
from pathlib import Path

from reid.common.errors import InputError
from reid.common.files import write_whole

Kind = typing.TypeVar("Kind")


def read(kind: type[Kind], file: Path, remedy: str) -> Kind:
    """The record of dataclass `kind` in a file.

    Raises InputError where the file is damaged, lacks a field, has one of another type, or is of a newer
    format; FileNotFoundError where it is not there. remedy: what to do about a damaged one.
    """
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
    except ValueError as error:    # text that is not UTF-8 is one too
        raise InputError(f"{file}: damaged: {error}; {remedy}") from None
    return check(kind, content, file, remedy)


def check(kind: type[Kind], content: dict, file: Path, remedy: str) -> Kind:
    """The record in a dict, as `read` gives it. Keys that the dataclass does not have are left out."""
    hints = typing.get_type_hints(kind)
    missing = [field.name for field in fields(kind) if field.name not in content and field.default is MISSING]
    if missing:
        raise InputError(f"{file}: lacks {', '.join(missing)}: it was not written by this version")
    given = {key: value for key, value in content.items() if key in hints}
    for key, value in given.items():
        if not isinstance(value, _types(hints[key])):
            raise InputError(f"{file}: {key} is missing or of another type; {remedy}")
    record = kind(**given)
    if record.format > kind.format:
        raise InputError(f"{file}: format {record.format}; this version reads format {kind.format}")
    return record


def write(file: Path, record: object) -> None:
    """Write a record, its format last; the file appears whole or not at all."""
    write_whole(file, json.dumps(asdict(record), indent=1) + "\n")


def _types(hint: object) -> tuple[type, ...]:
    """The types that a value may have by an annotation such as `dict | None`."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return tuple(one for kind in kinds for one in ((int, float) if kind is float else (kind,)))
