"""The result of a run, result.json: its figures and their sources. Written last: then the run is finished."""

from dataclasses import dataclass
from pathlib import Path

from reid.common.errors import InputError
from reid.formats import json_record

NAME = "result.json"
REMEDY = "delete it, and the same command makes it again"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run: settings, data, figures, where its weights come from and where they are stored.

    Figures are summaries of reid.metrics.summary, fractions of 1. None: an older version did not record it.

    init          {"file", "sha256"} of the weights at the start, None for random ones
    data          sha256 of {"images", "train_pairs", "test_pairs"}
    settings      reid.engine.settings.as_plain
    before, after, histogram, chance    figures of the weights at the start (None: BatchNorm without
                                        statistics), of the trained ones (None: not trained), of colour
                                        histograms, and of a random order
    readings, validation    of the data's manifest: how the pairs were read, training identities held out
    iterations    that were trained; seconds: spent in them
    tables        of the training, as reid.engine.tables.state gives them
    weights       {"file", "sha256"} of the trained weights, the file relative to the run; None: not trained
    machine       processor, cores and memory that it ran on; finished: when, UTC, "2026-01-31 13:45"
    data_folder   of the prepared data, relative to the run where both lie below one folder
    parent        the step before: {"file", "sha256"} and, of a run, {"stage", "split", "base", "objective"},
                  or, of a file of weights, {"name"} (None: unknown); None for random weights
    lineage       entries of reid.provenance.lineage, from the first weights to this run
    """
    stage: str
    base: str
    objective: str
    split: str
    init: dict | None
    data: dict
    settings: dict
    dataset: str
    generated: bool
    split_origin: str | None = None
    protocol: str
    mode: str | None = None
    data_seed: int | None = None
    pair_schedule: str | None = None
    manifest_sha256: str | None = None
    split_sha256: str | None = None
    readings: dict | None = None
    validation: int | None = None
    train_identities: int | None = None
    test_identities: int | None = None
    before: dict | None
    after: dict | None
    histogram: dict
    chance: dict
    iterations: int
    weights: dict | None
    seconds: float | None = None
    pairs_per_second: float | None = None
    alarms: list | None = None
    tables: dict | None = None
    device: str | None = None
    versions: dict | None = None
    machine: str | None = None
    finished: str | None = None
    data_folder: str | None = None
    verification_head: str | None = None
    parent: dict | None = None
    lineage: list | None = None
    format: int = 1

    @property
    def parent_stage(self) -> str | None:
        """The stage whose trained weights this run started from; None where it started from others."""
        return (self.parent or {}).get("stage")


def read(folder: Path) -> Result:
    """The Result of the run in a folder; InputError where there is none or it is damaged."""
    file = Path(folder) / NAME
    try:
        result = json_record.read(Result, file, REMEDY)
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file; it is written when the run is finished") from None
    for name in ("before", "after", "histogram", "chance"):
        figures = getattr(result, name) or {}
        if not all(_numbers(figures.get(measure, {})) for measure in ("cmc", "mAP")):
            raise InputError(f"{file}: {name} holds something else than figures; {REMEDY}")
    for name, table in (result.tables or {}).items():
        if not isinstance(table, dict) or not isinstance(table.get("bytes"), int) or not table.get("sha256"):
            raise InputError(f"{file}: tables: {name} is not its length and checksum; {REMEDY}")
    return result


def _numbers(values: object) -> bool:
    """Whether this is {key: number}."""
    return isinstance(values, dict) and all(isinstance(value, int | float) for value in values.values())


def write(folder: Path, result: Result) -> None:
    """Write the Result of the run in a folder."""
    json_record.write(Path(folder) / NAME, result)
