"""Where a weight file comes from: the run that wrote it, or the record that lies beside it.

A record is FILE.json beside FILE (reid.formats.weights_record). A run says in result.json which file holds
its trained weights, and their checksum.
"""

from dataclasses import dataclass
from pathlib import Path

from reid.common.errors import InputError
from reid.common.files import checksum
from reid.formats import result as result_file, snapshot, weights_record
from reid.formats.result import Result
from reid.formats.weights_record import WeightsRecord
from reid.provenance import finished


@dataclass(frozen=True)
class Origin:
    """A weight file whose bytes are those that were recorded.

    base, mean: backbone and mean it was trained with, None where unknown. run, result: where the file holds
    the trained weights of a run, the run's folder and Result. record: the WeightsRecord beside the file. All
    three are None where the origin is unknown.
    """
    file: Path
    sha256: str
    base: str | None = None
    mean: tuple | None = None
    run: Path | None = None
    result: Result | None = None
    record: WeightsRecord | None = None

    def describe(self) -> str:
        """The origin in words, without the file."""
        if self.run:
            return f"{self.result.stage} {self.result.split}, {self.result.iterations} iterations"
        return f"{self.record.name}: {self.record.origin}" if self.record else "origin unknown"


def origin_of(path: Path | str) -> Origin:
    """The Origin of the weights at `path`.

    Raises InputError where the file is missing, its record is damaged, or its checksum is not the recorded
    one: the file is cut short, damaged or replaced.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file to take weights from")
    sha256 = checksum(path)
    facts = path.parent / snapshot.FACTS
    if facts.is_file():
        _compare(path, sha256, snapshot.read(path.parent).sha256.get(path.name), facts)
        return _of_run(path, sha256)
    record = weights_record.read(path)
    if record is None:
        return Origin(path, sha256)
    _compare(path, sha256, record.sha256, weights_record.path(path))
    return Origin(path, sha256, record.base, tuple(map(float, record.mean)), record=record)


def _of_run(path: Path, sha256: str) -> Origin:
    """The Origin of a snapshot's weights: known where the run is finished and this is its last snapshot."""
    run = path.parents[2]
    file = run / result_file.NAME
    if not file.is_file():
        return Origin(path, sha256)
    result = finished.read(run)
    kept = result.weights
    if not kept or run / kept["file"] != path:
        return Origin(path, sha256)
    _compare(path, sha256, kept["sha256"], file)
    mean = result.settings.get("mean")
    return Origin(path, sha256, result.base, mean and tuple(mean), run, result)


def _compare(path: Path, found: str, recorded: str | None, record: Path) -> None:
    if found != recorded:
        raise InputError(f"{path}: sha256 is {found}, and {record} says {recorded}: cut short, damaged or "
                         "replaced; bring back the file that belongs there, or make it again")
