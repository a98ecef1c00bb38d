"""The manifest of a prepared folder, manifest.json: its input, its databases and splits, their checksums."""

import functools
import hashlib
import json
import os
import re
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import groupby
from pathlib import Path

from reid.common.errors import InputError
from reid.formats import json_record
from reid.formats.json_record import Count
from reid.metrics.protocol import Protocol

FORMAT = 1
NAME = "manifest.json"
REMEDY = "delete the folder and prepare the data again"
Kind = typing.TypeVar("Kind")
# What the paper leaves open of the pairs: each reading with the values it can have, the default first.
READINGS = {"anchors": ("copies", "images"), "copies": ("translations", "crops"),
            "mirror": ("chance", "both"), "positives": ("across", "any"),
            "negatives": ("images", "identities")}
Schedule = typing.Literal["literal", "public"]
STORES = ("encoded", "raw")    # how the image LMDB holds images (formats.image_lmdb), the default first


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images in the order of the index, one entry of each list for each of them.

    path: below the raw folder; identity: its place in Manifest.identities; sha256: of the raw file, or of a
    .mat's pixels.
    """
    path: list[str]
    identity: list[int]
    camera: list[int]
    sha256: list[str]


@dataclass(frozen=True, kw_only=True)
class Database:
    """An LMDB: SHA-256 and size of its data.mdb, in bytes."""
    sha256: str
    bytes: Count


@dataclass(frozen=True, kw_only=True)
class PreparedSplit:
    """A prepared split: places in the index of the images of each role, and its pairs.

    classes: training identities; origin: a phrase that says where the split comes from; validation: images of
    identities set aside to test the net while it trains; multi_query: Market-1501's further images of the
    query identities by the queries' cameras.
    """
    classes: Count
    origin: str
    train: list[int] = field(default_factory=list)
    query: list[int] = field(default_factory=list)
    gallery: list[int] = field(default_factory=list)
    validation: list[int] = field(default_factory=list)
    multi_query: list[int] = field(default_factory=list)
    train_pairs: Database
    test_pairs: Database


@dataclass(kw_only=True)
class Manifest:
    """What a folder was prepared from, and what is prepared in it.

    The fields up to `images` describe the input: splits are added to a folder only from the same input.
    image_lmdb is None until the images are written; splits are added one by one, {"split00": PreparedSplit}.

    variant     of the dataset, None where it has none; protocol: "single-shot" or "market1501"
    generated   whether the people are generated; flip: whether half of the pairs' images are mirrored
    schedule    of negatives per positive, a key of data_prep.pairs.RATIOS; epochs: of pairs, a split
    readings    {key: value} of READINGS, those that are not the default
    validation  training identities that are held out and tested in place of the dataset's own, 0: none
    size        side of a stored image, pixels; store: of the image LMDB, one of STORES
    identities  their names
    """
    format: Count = FORMAT
    dataset: str
    variant: str | None = None
    generated: bool
    protocol: Protocol
    seed: Count
    epochs: Count
    schedule: Schedule
    flip: bool
    readings: dict[str, str] = field(default_factory=dict)
    validation: Count = 0
    size: Count
    store: str = "raw"
    identities: list[str]
    images: Images
    image_lmdb: Database | None = None
    splits: dict[str, PreparedSplit] = field(default_factory=dict)

    def reading(self, key: str) -> str:
        """The value of a reading, a key of READINGS."""
        return self.readings.get(key, READINGS[key][0])


INPUTS = tuple(one.name for one in fields(Manifest) if one.name not in ("image_lmdb", "splits"))
"""The fields that describe the input."""


def split_name(number: int) -> str:
    """How split `number` is called in the manifest, and the folders of its pairs and of its runs."""
    return f"split{number:02d}"


def split_number(name: str) -> int:
    """The opposite of `split_name`."""
    return int(name.removeprefix("split"))


def parse_splits(text: str) -> list[int]:
    """The numbers in "0,2-4", in order; InputError where it is not of that form."""
    ranges = [part.split("-") for part in text.split(",")]
    if (not re.fullmatch(r"[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*", text)
            or any(int(one[0]) > int(one[-1]) for one in ranges)):
        raise InputError(f"splits {text}: write numbers as 0,2-4, or all")
    return sorted({number for one in ranges for number in range(int(one[0]), int(one[-1]) + 1)})


def describe_splits(numbers: Iterable[int]) -> str:
    """The opposite of `parse_splits`."""
    ordered = sorted(numbers)
    runs = [[number for _, number in run]
            for _, run in groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def load_manifest(out: Path) -> Manifest:
    """Return OUT/manifest.json; InputError where it is missing, damaged, of another format or unfinished.

    Not to be changed: see `read_once`.
    """
    path = Path(out) / NAME
    manifest = read_once(path)
    if manifest.image_lmdb is None or not manifest.splits:
        raise InputError(f"{path}: the preparation was interrupted; run the same `python -m data_prep` again")
    return manifest


def read_once(path: Path) -> Manifest:
    """As `read`, but a file that has not changed is not read again: one for all, not to be changed."""
    try:
        state = os.stat(path)
    except OSError:
        return read(path)    # which says so
    return _kept(Path(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=8)    # of a large dataset it takes megabytes
def _kept(path: Path, *state: int) -> Manifest:
    return read(path)


def read(path: Path) -> Manifest:
    """Return the manifest in a file; InputError where it is missing, damaged or of another format."""
    try:
        content = json_record.load(path, REMEDY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: there is no such file; write it with `python -m data_prep`") from error
    if content.get("format", FORMAT) != FORMAT:
        raise InputError(f"{path}: format {content['format']}; this version reads format {FORMAT}: prepare "
                         "the data again")
    nested = {"images": Images, "image_lmdb": Database}
    for key in nested.keys() & {key for key, value in content.items() if value is not None}:
        content[key] = _record(nested[key], content[key], path, f"{key}.")
    for name, entry in (splits.items() if isinstance(splits := content.get("splits"), dict) else ()):
        splits[name] = _split(entry, path, f"splits.{name}.")
    manifest = _record(Manifest, content, path)
    if manifest.store not in STORES:
        raise InputError(f"{path}: damaged: store {manifest.store!r}; {REMEDY}")
    try:
        check_readings(manifest.readings)
    except InputError as error:
        raise InputError(f"{path}: damaged: {error}; {REMEDY}") from None
    images = manifest.images
    if len({len(images.path), len(images.identity), len(images.camera), len(images.sha256)}) != 1:
        raise InputError(f"{path}: damaged: the lists of images differ in length; {REMEDY}")
    places = {f"{name} {role}": (getattr(split, role), len(images.path))
              for name, split in manifest.splits.items()
              for role in ("train", "query", "gallery", "validation", "multi_query")}
    places |= {"identity": (images.identity, len(manifest.identities)), "camera": (images.camera, 10 ** 9)}
    for name, (numbers, end) in places.items():
        wrong = next((number for number in numbers if not 0 <= number < end), None)
        if wrong is not None:
            raise InputError(f"{path}: damaged: {name} {wrong} is not from 0 to {end - 1}; {REMEDY}")
    return manifest


def check_readings(readings: dict) -> None:
    """InputError where {key: value} are not all readings with one of their values."""
    for key, value in readings.items():
        if value not in READINGS.get(key, ()):
            raise InputError(f"{key} {value!r}: the readings are {READINGS}")


def _split(content: object, path: Path, where: str) -> PreparedSplit:
    if isinstance(content, dict):
        content = {key: _record(Database, value, path, f"{where}{key}.")
                   if key in ("train_pairs", "test_pairs") else value for key, value in content.items()}
    return _record(PreparedSplit, content, path, where)


def _record(kind: type[Kind], content: object, path: Path, where: str = "") -> Kind:
    """The dataclass in a JSON object; InputError where a key is missing, unknown, or of another type.

    where: in the file it lies, as in json_record.check.
    """
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged: {where[:-1]} is {content!r:.40}; it must be a mapping; {REMEDY}")
    known = {one.name for one in fields(kind)}
    differing = (json_record.needed(kind) - content.keys()) | (content.keys() - known)
    if differing:
        raise InputError(f"{path}: damaged: {', '.join(where + key for key in sorted(differing))} missing or "
                         f"unknown; {REMEDY}")
    return json_record.check(kind, content, path, REMEDY, where)


def write(out: Path, manifest: Manifest) -> None:
    """Write OUT/manifest.json; it appears whole or not at all."""
    json_record.save(Path(out) / NAME, _plain(manifest), ensure_ascii=False)


def option(key: str, value: typing.Any) -> tuple[str, ...]:
    """How python -m data_prep is asked for a value of a field, or of a reading."""
    return ("--flip" if value else "--no-flip",) if key == "flip" else (f"--{key}", str(value))


def split_checksum(manifest: Manifest, name: str) -> str:
    """SHA-256 of what a manifest says of one split and of the images, whatever other splits it has."""
    about = {**_plain(manifest), "splits": {name: _plain(manifest.splits[name])}}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _plain(record: typing.Any) -> typing.Any:
    """A record as plain values for JSON, less roles without images and newer fields at their default."""
    if isinstance(record, dict):
        return {key: _plain(value) for key, value in record.items()}
    if not isinstance(record, Manifest | Images | Database | PreparedSplit):
        return record
    plain = {one.name: _plain(getattr(record, one.name)) for one in fields(record)}
    if isinstance(record, PreparedSplit):
        return {key: value for key, value in plain.items() if value != []}
    once = {"readings": {}, "validation": 0, "store": "raw"}
    return {key: value for key, value in plain.items() if key not in once or value != once[key]}
