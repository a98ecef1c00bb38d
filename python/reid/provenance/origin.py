"""Where a weight file comes from: the run that wrote it, or the record that lies beside it.

`weights/` writes FILE.json beside every FILE: {"name", "base", "sha256", "mean", "origin", "licence"}. A run says in
result.json which file holds its trained weights, and their checksum.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from reid.common.errors import InputError
from reid.common.files import checksum
from reid.engine import snapshots
from reid.provenance.lineage import read_result

BESIDE = {"name": str, "base": str, "sha256": str, "mean": list, "origin": str, "licence": str}


@dataclass(frozen=True)
class Origin:
    """A weight file whose bytes are those that were recorded.

    base, mean: those it was trained with, None where unknown. run: the folder of the run whose trained weights it is,
    and result its result.json; beside: the record beside the file; None and None where its origin is unknown.
    """
    file: Path
    sha256: str
    base: str | None = None
    mean: tuple | None = None
    run: Path | None = None
    result: dict | None = None
    beside: dict | None = None

    def words(self):
        """The origin in words, without the file."""
        if self.run:
            return f"{self.result['stage']} {self.result['split']}, {self.result['iterations']} iterations"
        return f"{self.beside['name']}: {self.beside['origin']}" if self.beside else "origin unknown"


def origin_of(path):
    """The Origin of the weights at `path`.

    Raises InputError where the file is missing, its record is damaged, or its bytes are not those of the record: cut
    short, damaged or exchanged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file to take weights from")
    sha256 = checksum(path)
    snapshot = path.parent / snapshots.FACTS
    if snapshot.is_file():
        _compare(path, sha256, _field(snapshot, _read(snapshot), "sha256", dict).get(path.name), snapshot)
        return _of_run(path, sha256)
    beside = path.with_name(path.name + ".json")
    if not beside.is_file():
        return Origin(path, sha256)
    record = _read(beside)
    for key, kind in BESIDE.items():
        _field(beside, record, key, kind)
    if len(record["mean"]) != 3 or not all(isinstance(value, (int, float)) for value in record["mean"]):
        raise InputError(f"{beside}: mean is {record['mean']}; it must be three numbers; make the weights again")
    _compare(path, sha256, record["sha256"], beside)
    return Origin(path, sha256, record["base"], tuple(map(float, record["mean"])), beside=record)


def _of_run(path, sha256):
    """The Origin of a snapshot's weights: known where they are the last that a finished run kept."""
    run = path.parents[2]
    file = run / "result.json"
    if not file.is_file():
        return Origin(path, sha256)
    result = read_result(run)
    kept = result["weights"]
    if not kept or run / kept["file"] != path:
        return Origin(path, sha256)
    _compare(path, sha256, kept["sha256"], file)
    return Origin(path, sha256, result["base"], tuple(result["settings"]["mean"]), run, result)


def _compare(path, found, recorded, record):
    if found != recorded:
        raise InputError(f"{path}: sha256 is {found}, and {record} says {recorded}: cut short, damaged or exchanged; "
                         "bring back the file that belongs there, or make it again")


def _read(file):
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: damaged: {error}; bring it back, or make again what it belongs to") from None


def _field(file, record, key, kind):
    if not isinstance(record, dict) or key not in record or not isinstance(record[key], kind):
        raise InputError(f"{file}: {key} is missing or of another type; bring the file back, or make again what it "
                         "belongs to")
    return record[key]
