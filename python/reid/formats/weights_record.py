"""The record beside a file of weights, FILE.json: its backbone, its mean, where it came from."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reid.common.files import sha256_file, write_whole
from reid.formats import json_record
from reid.formats.json_record import Count

REMEDY = "restore the file, or make the weights again"


@dataclass(frozen=True, kw_only=True)
class WeightsRecord:
    """What is known of a file of weights.

    name: of the weights; base: the backbone that they fit; mean: BGR, 0 to 255, to be subtracted from every
    pixel; origin, licence: sentences; sha256: of the file of weights.
    """
    name: str
    base: str
    sha256: str
    mean: tuple[float, float, float]
    origin: str
    licence: str
    format: Count = 1


def path(caffemodel: Path) -> Path:
    """The path of the record: the caffemodel's and .json."""
    return Path(f"{caffemodel}.json")


def write(caffemodel: Path, content: bytes, *, name: str, base: str, mean: Iterable[float], origin: str,
          licence: str) -> WeightsRecord:
    """Write the bytes of a caffemodel, then its record; at no moment is a wrong record beside the file."""
    path(caffemodel).unlink(missing_ok=True)
    write_whole(caffemodel, content)
    record = WeightsRecord(name=name, base=base, sha256=hashlib.sha256(content).hexdigest(), mean=list(mean),
                           origin=origin, licence=licence)
    json_record.write(path(caffemodel), record)
    return record


def read(caffemodel: Path) -> WeightsRecord | None:
    """The record beside a caffemodel, None where there is none; InputError where it is damaged."""
    file = path(caffemodel)
    if not os.path.lexists(file):
        return None
    return json_record.read(WeightsRecord, file, REMEDY)


def whole(caffemodel: Path) -> bool:
    """Whether a caffemodel is there with its record and is what it says; InputError for a damaged record."""
    record = read(caffemodel)
    return record is not None and Path(caffemodel).is_file() and sha256_file(caffemodel) == record.sha256
