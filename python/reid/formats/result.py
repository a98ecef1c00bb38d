"""The result of a run, result.json: its figures and their sources. Written last: then the run is finished."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NotRequired, TypedDict

from reid.common.errors import InputError
from reid.formats import json_record
from reid.formats.json_record import Count, Range, Share
from reid.formats.snapshot import Seconds, TableState
from reid.metrics.protocol import Protocol

NAME = "result.json"
REMEDY = "delete it, and the same command makes it again"


Objective = Literal["vi", "v", "i"]
Head = Literal["kept", "fresh", "absent"]


class File(TypedDict):
    """A file of weights."""
    file: str
    sha256: str


class Parent(File):
    """The step before: a run, or a file of weights, by its name (None: unknown)."""
    name: NotRequired[str | None]
    stage: NotRequired[str]
    split: NotRequired[str]
    base: NotRequired[str]
    objective: NotRequired[Objective]


class Data(TypedDict):
    """The SHA-256 of the data."""
    images: str
    train_pairs: str
    test_pairs: str


Cmc = TypedDict("Cmc", {"1": Share, "5": Share, "10": Share, "20": Share})


class MeanPrecision(TypedDict):
    """The mAP by both ways to compute it."""
    trapezoid: Share
    step: Share


class Chance(TypedDict):
    """The figures of a random order."""
    cmc: Cmc
    mAP: NotRequired[MeanPrecision]


class Figures(TypedDict):
    """A summary of reid.metrics.summary."""
    queries: Count
    queries_without_match: Count
    cmc: Cmc
    mAP: MeanPrecision
    multi_query: NotRequired[dict[str, "Figures"]]


class Alarm(TypedDict):
    """A row of alarms.csv."""
    iteration: Count
    alarm: str
    text: str


class Build(TypedDict, total=False):
    """Of what tools/install_caffe.sh recorded what is shown."""
    caffe: str


class Versions(TypedDict, total=False):
    """Of reid.provenance.versions."""
    caffe: str | None
    caffe_build: Build | None
    python: str
    numpy: str
    opencv: str
    code_sha256: str | None


class Computing(TypedDict):
    """What decides how sums are rounded: the card's name (None: the CPU), the CPU's threads and vector unit.

    switches: of the environment variables in reid.engine.device.SWITCHES those that were set.
    """
    card: str | None
    threads: Count
    vectors: str | None
    switches: dict[str, str]


class EntryVersions(TypedDict):
    """The versions in an entry of the lineage; None: not recorded."""
    caffe: str | None
    caffe_build: Build | None
    code_sha256: str | None


class FirstWeights(TypedDict):
    """The entry of the first weights in a lineage: random ones of a seed, or a file."""
    name: str | None
    weights: File | None
    seed: NotRequired[Count]
    origin: NotRequired[str | None]
    licence: NotRequired[str | None]
    mean: NotRequired[tuple[float, float, float] | None]


class Step(TypedDict):
    """The entry of a run in a lineage."""
    stage: str
    split: str
    base: str
    objective: Objective
    dataset: str
    generated: bool
    verification_head: Head | None
    weights: File | None
    manifest_sha256: str | None
    settings: dict
    iterations: Count
    seed: Count
    versions: EntryVersions


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
    computing     what it was computed with, as it was when the run ended
    data_folder   of the prepared data, relative to the run where both lie below one folder
    parent        the step before: {"file", "sha256"} and, of a run, {"stage", "split", "base", "objective"},
                  or, of a file of weights, {"name"} (None: unknown); None for random weights
    lineage       entries of reid.provenance.lineage, from the first weights to this run
    """
    stage: str
    base: str
    objective: Objective
    split: str
    init: File | None
    data: Data
    settings: dict
    dataset: str
    generated: bool
    split_origin: str | None = None
    protocol: Protocol
    mode: str | None = None
    data_seed: Count | None = None
    pair_schedule: str | None = None
    manifest_sha256: str | None = None
    split_sha256: str | None = None
    readings: dict[str, str] | None = None
    validation: Count | None = None
    train_identities: Count | None = None
    test_identities: Count | None = None
    before: Figures | None
    after: Figures | None
    histogram: Figures
    chance: Chance
    iterations: Count
    weights: File | None
    seconds: Seconds | None = None
    pairs_per_second: Annotated[float, Range(0, 1e12)] | None = None
    alarms: list[Alarm] | None = None
    tables: dict[str, TableState] | None = None
    device: str | None = None
    versions: Versions | None = None
    machine: str | None = None
    computing: Computing | None = None
    finished: str | None = None
    data_folder: str | None = None
    verification_head: Head | None = None
    parent: Parent | None = None
    lineage: list[FirstWeights | Step] | None = None
    format: Count = 1

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
    if result.lineage is not None and not (result.lineage and "stage" in result.lineage[-1]):
        raise InputError(f"{file}: lineage does not end in this run; {REMEDY}")
    if not bool(result.iterations) == bool(result.weights) == bool(result.after):
        raise InputError(f"{file}: iterations is {result.iterations}, weights {result.weights!r:.30}, after "
                         f"{result.after!r:.30}: all three or none; {REMEDY}")
    return result


def write(folder: Path, result: Result) -> None:
    """Write the Result of the run in a folder."""
    json_record.write(Path(folder) / NAME, result)
