"""What became of the experiments in a folder of runs, experiment.json beside them: the report's guide.

{"scale", "about", "experiments": {name: {"title", "table", "cells": [{"row", "method", "base",
"objective", "chain", "stage", "split", "run", "state", "why", "result"}]}}}.
scale: its name, about: what it is, in a sentence; table: its name in experiments/paper.yaml; run: the run's
folder, relative to this file's; state: "finished", "to do" or "cannot be run", why: the reason; result: the
SHA-256 of its result.json, or None.
"""

from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from reid.formats import json_record
from reid.formats.json_record import Count

NAME = "experiment.json"
REMEDY = "delete it, and tools/run_experiments.sh writes it again"


State = Literal["finished", "to do", "cannot be run"]


class Cell(TypedDict):
    """One run of a row."""
    row: str
    method: NotRequired[str | None]
    base: str
    objective: str
    chain: str
    stage: str
    split: Count
    run: str
    state: State
    why: str
    result: str | None


class Part(TypedDict):
    """One experiment."""
    title: str
    table: str | None
    cells: list[Cell]


class Record(TypedDict):
    """All of it."""
    scale: str
    about: str
    experiments: dict[str, Part]


def read(folder: Path) -> dict | None:
    """The record in a folder, None where there is none; InputError where it is damaged."""
    file = Path(folder) / NAME
    if not file.is_file():
        return None
    record = json_record.load(file, REMEDY)
    json_record.check_value(record, Record, "", file, REMEDY)
    return record


def write(folder: Path, record: dict) -> None:
    """Write the record of a folder; it appears whole or not at all."""
    json_record.save(Path(folder) / NAME, record, ensure_ascii=False, indent=1)
