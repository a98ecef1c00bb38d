"""JSON files that hold a checksum of their own content, and records: such files of one dataclass each.

`checksum` is the SHA-256 of the rest of the content. A file of an older version without one is read, and a
line on stderr says so. A record must have every field of its dataclass that has no default; one of an older
version without `format` is read as format 1.

`wrong` is not left to pydantic. Debian 12's, 1.10, takes "1", True and 3.7 for a whole number and NaN for a
float unless every annotation is a type of its own, looks at a manifest's long lists number by number, and its
messages would be put into one sentence here; 2.x is strict, but not among Debian's packages.
"""

import functools
import hashlib
import json
import sys
import types
import typing
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields
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
    content = parse(file, remedy)
    if not isinstance(content, dict):
        raise InputError(f"{file}: damaged: not a JSON object; {remedy}")
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


def parse(file: Path, remedy: str) -> object:
    """What a JSON file holds, unchecked; InputError where it is not JSON, OSError where it cannot be read."""
    try:
        return json.loads(read_bytes(file).decode())
    except (ValueError, RecursionError) as error:    # text that is not UTF-8 is a ValueError too
        raise InputError(f"{file}: damaged: {error}; {remedy}") from None


@functools.cache    # once for each file
def _note(file: Path) -> None:
    print(f"note: {file}: has no checksum of its own, and is taken as it is", file=sys.stderr)


def read(kind: type[Kind], file: Path, remedy: str) -> Kind:
    """The record of dataclass `kind` in a file.

    Raises InputError where the file is damaged, lacks a field, has one of another type, or is of a newer
    format; FileNotFoundError where it is not there. remedy: what to do about a damaged one.
    """
    return check(kind, load(file, remedy), file, remedy)


def check(kind: type[Kind], content: dict, file: Path, remedy: str, where: str = "") -> Kind:
    """The record in a dict, as `read` gives it. Keys that the dataclass does not have are left out.

    where: in the file the dict lies, "splits.split00." or "" for all of it.
    """
    hints = _hints(kind)
    missing = needed(kind) - content.keys()
    if missing:
        raise InputError(f"{file}: lacks {', '.join(sorted(missing))}: it was not written by this version; "
                         f"{remedy}")
    given = {key: value for key, value in content.items() if key in hints}
    for key, value in given.items():
        check_value(value, hints[key], where + key, file, remedy)
    record = kind(**given)
    if getattr(record, "format", 0) > getattr(kind, "format", 0):
        raise InputError(f"{file}: format {record.format}; this version reads format {kind.format}")
    return record


def check_value(value: object, hint: object, key: str, file: Path, remedy: str) -> None:
    """InputError, naming the file and the part, where a value is not of an annotation (see `wrong`).

    key: where in the file the value lies, "" for all of it.
    """
    if what := wrong(value, hint, key):
        raise InputError(f"{file}: {what}; {remedy}")


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


@dataclass(frozen=True)
class Range:
    """What a number may be, both ends included: Annotated[int, Range(0, 9)]."""
    low: float
    high: float

    def __str__(self) -> str:
        return f"from {self.low:g} to {self.high:g}"


MOST = 10 ** 15    # of what is counted
Count = typing.Annotated[int, Range(0, MOST)]
Share = typing.Annotated[float, Range(0, 1)]
NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "a mapping",
         list: "a list", types.NoneType: "null"}


def wrong(value: object, hint: object, key: str) -> str | None:
    """What of a value from JSON is not as annotated: "cmc.1 is 'x'; it must be a number". None: nothing.

    hint: int, float (finite), str, bool, dict, list; None and unions; Literal; Annotated with a Range;
    list[…], dict[str, …]; a tuple, which is a list of that length; a TypedDict, whose other keys are free; or
    another class. key: where the value lies.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.NotRequired:
        return wrong(value, inner[0], key)
    if origin is typing.Annotated:
        fits = wrong(value, inner[0], key) is None and _within(value, inner[1])
        return None if fits else _said(value, hint, key)
    if origin in (types.UnionType, typing.Union):
        found = {one: wrong(value, one, key) for one in inner}
        alike = [one for one in inner if isinstance(value, dict) and typing.is_typeddict(one)]
        best = max(alike, key=lambda one: len(value.keys() & _hints(one)), default=None)
        return None if None in found.values() else found[best] if best else _said(value, hint, key)
    if origin is typing.Literal:
        return None if value in inner else _said(value, hint, key)
    if (parts := _parts(hint)) is not None:
        if not isinstance(value, list) or len(value) != len(parts):
            return _said(value, hint, key)
        return _first(zip(value, parts, map(str, range(len(parts)))), key)
    if origin is list and isinstance(value, list):
        if set(map(type, value)) <= {inner[0]} - {float}:    # by far the most: a manifest's lists are long
            return None
        return _first(((one, inner[0], str(place)) for place, one in enumerate(value)), key)
    if origin is dict and isinstance(value, dict):
        return _first(((one, inner[1], name) for name, one in value.items()), key)
    if typing.is_typeddict(hint) and isinstance(value, dict):
        if missing := sorted(hint.__required_keys__ - value.keys()):
            return f"{key or 'it'} lacks {', '.join(missing)}"
        return _first(((value[name], one, name) for name, one in _hints(hint).items() if name in value), key)
    if hint is float:
        return None if type(value) in (int, float) and _within(value, Range(-1e300, 1e300)) else _said(
            value, hint, key)
    fits = hint is typing.Any or type(value) is hint or hint in (None, types.NoneType) and value is None
    return None if fits else _said(value, hint, key)


def _within(value: float, allowed: Range) -> bool:
    """Whether a number lies in a Range, but for rounding; no NaN does."""
    return allowed.low <= value <= allowed.high * (1 + 1e-9)


def _first(parts: Iterable[tuple[object, object, str]], key: str) -> str | None:
    """What is wrong with the first that is of the (value, annotation, name) in a value."""
    return next((what for value, hint, name in parts
                 if (what := wrong(value, hint, f"{key}.{name}" if key else name))), None)


def _said(value: object, hint: object, key: str) -> str:
    return f"{key or 'it'} is {value!r:.60}; it must be {_named(hint)}"


def _named(hint: object) -> str:
    """An annotation in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return f"{_named(inner[0])} {inner[1]}"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_named, inner))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, inner))}" if len(inner) > 1 else str(inner[0])
    if (parts := _parts(hint)) is not None:
        return f"a list of {len(parts)}"
    return "a mapping" if typing.is_typeddict(hint) else NAMES.get(origin or hint, str(hint))


def _parts(hint: object) -> tuple | None:
    """The annotations of a tuple's parts, also of a NamedTuple's; None: it is no tuple."""
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)
    return tuple(_hints(hint).values()) if isinstance(hint, type) and hasattr(hint, "_fields") else None


@functools.cache
def _hints(kind: type) -> dict[str, typing.Any]:
    """The annotations of a class, bounds included."""
    return typing.get_type_hints(kind, include_extras=True)
