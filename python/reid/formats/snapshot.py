"""A snapshot's folder: weights.caffemodel, state.solverstate; snapshot.json says whether both are whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from reid.common.errors import InputError
from reid.common.files import read_bytes, sha256_file
from reid.formats import json_record
from reid.formats.json_record import Count, Range
from reid.formats.protobuf import parse

WEIGHTS, STATE, FACTS = "weights.caffemodel", "state.solverstate", "snapshot.json"
Seconds = Annotated[float, Range(0, 1e12)]


class TableState(TypedDict):
    """Length and checksum of a table, as reid.engine.tables.state returns them."""
    bytes: Count
    sha256: str


Sums = TypedDict("Sums", {WEIGHTS: str, STATE: str})    # the SHA-256 of the files of a snapshot


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """iteration: after which it was taken; seconds: spent in updates up to it; sha256: {file: …} of both.

    trained_with: the settings and inputs, as reid.stages.same.trained_with returns them; tables: their length
    and checksums, as reid.engine.tables.state returns them (both None: written by an older version).
    """
    iteration: Count
    seconds: Seconds
    sha256: Sums
    trained_with: dict | None = None
    tables: dict[str, TableState] | None = None
    format: Count = 1


def write(folder: Path, **facts: object) -> None:
    """Write snapshot.json of the files that lie in a folder; facts: the other fields of Snapshot."""
    sums = {name: sha256_file(folder / name) for name in (WEIGHTS, STATE)}
    json_record.write(folder / FACTS, Snapshot(sha256=sums, **facts))


def read(folder: Path) -> Snapshot:
    """The Snapshot in a folder; InputError where snapshot.json is damaged."""
    return json_record.read(Snapshot, folder / FACTS, "bring it back, or delete the snapshot")


def whole(folder: Path) -> bool:
    """Whether the files in a folder, called by its iteration, are those that its snapshot.json says."""
    try:
        kept = read(folder)
        return kept.iteration == int(folder.name) and all(
            kept.sha256[name] == sha256_file(folder / name) for name in (WEIGHTS, STATE))
    except (OSError, InputError):
        return False


def read_state(path: Path) -> caffe_pb2.SolverState:
    """The solver's state in a file of Caffe's; InputError where it is cut short."""
    try:
        return parse(caffe_pb2.SolverState(), read_bytes(path))
    except DecodeError:
        raise InputError(f"{path}: cut short; is the disk full?") from None
