"""JSON files that hold a checksum of their own content, and records: such files of one dataclass each.

`checksum` is the SHA-256 of the rest of the content. A file of an older version without one is read, and a
line on stderr says so. A record must have every field of its dataclass that has no default; one of an older
version without `format` is read as format 1.
"""

import functools
import hashlib
import json
import sys
import types
import typing
from dataclasses import MISSING, asdict, fields
from pathlib import Path

from reid.common.errors import InputError
from reid.common.files import read_bytes, write_whole

Kind = typing.TypeVar("Kind")
CHECKSUM = "checksum"


def signed(content: dict) -> dict:
    """`content` with its checksum, the same for any order of keys and any white space in the file."""
    plain = json.loads(json.dumps(content))    # as it will be read: keys are strings, tuples are lists
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    return {**content, CHECKSUM: digest}


def load(file: Path, remedy: str, needed: bool = False) -> dict:
    """The content of a JSON file that `signed` was written to, without its checksum.

    Raises InputError where the file is damaged or its content is not that of its checksum; FileNotFoundError
    where it is not there. remedy: what to do about a damaged one; needed: one without a checksum is damaged.
    """
    try:
        content = json.loads(read_bytes(file).decode())
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
    except (ValueError, RecursionError) as error:    # text that is not UTF-8 is a ValueError too
        raise InputError(f"{file}: damaged: {error}; {remedy}") from None
    if CHECKSUM not in content:
        if needed:
            raise InputError(f"{file}: damaged: it has no checksum; {remedy}")
        _note(Path(file))
        return content
    recorded = content.pop(CHECKSUM)
    if signed(content)[CHECKSUM] != recorded:
        raise InputError(f"{file}: changed since it was written: its content is not that of its checksum; "
                         f"{remedy}")
    return content


@functools.cache    # once for each file
def _note(file: Path) -> None:
    print(f"note: {file}: has no checksum of its own, and is taken as it is", file=sys.stderr)


def read(kind: type[Kind], file: Path, remedy: str) -> Kind:
    """The record of dataclass `kind` in a file.

    Raises InputError where the file is damaged, lacks a field, has one of another type, or is of a newer
    format; FileNotFoundError where it is not there. remedy: what to do about a damaged one.
    """
    return check(kind, load(file, remedy), file, remedy)


def check(kind: type[Kind], content: dict, file: Path, remedy: str) -> Kind:
    """The record in a dict, as `read` gives it. Keys that the dataclass does not have are left out."""
    hints = typing.get_type_hints(kind)
    missing = needed(kind) - content.keys()
    if missing:
        raise InputError(f"{file}: lacks {', '.join(sorted(missing))}: it was not written by this version")
    given = {key: value for key, value in content.items() if key in hints}
    for key, value in given.items():
        if not _is(value, hints[key]):
            raise InputError(f"{file}: {key} is missing or of another type; {remedy}")
    record = kind(**given)
    if getattr(record, "format", 0) > getattr(kind, "format", 0):
        raise InputError(f"{file}: format {record.format}; this version reads format {kind.format}")
    return record


def needed(kind: type) -> set[str]:
    """The fields of a dataclass that have no default."""
    return {field.name for field in fields(kind)
            if field.default is MISSING and field.default_factory is MISSING}


def save(file: Path, content: dict, **layout: typing.Any) -> None:
    """Write `content` with its checksum; the file appears whole or not at all. layout: of json.dumps."""
    write_whole(file, json.dumps(signed(content), **layout) + "\n")


def write(file: Path, record: object) -> None:
    """Write a record, its format and checksum last; the file appears whole or not at all."""
    save(file, asdict(record), indent=1)


def _is(value: object, hint: object) -> bool:
    """Whether a value is of an annotation such as `dict | None`, or `list[int]`, which may be long."""
    if typing.get_origin(hint) is list:
        kinds = _types(typing.get_args(hint)[0])
        return isinstance(value, list) and all(isinstance(one, kinds) for one in value)
    return isinstance(value, _types(hint))


def _types(hint: object) -> tuple[type, ...]:
    """The types that a value may have by an annotation such as `dict | None`."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return tuple(one for kind in kinds for one in ((int, float) if kind is float else (kind,)))
