"""What became of the experiments in a folder of runs, experiment.json beside them: the report's guide.

{"scale", "about", "experiments": {name: {"title", "table", "cells": [{"row", "method", "base",
"objective", "chain", "stage", "split", "run", "state", "why", "result"}]}}}.
scale: its name, about: what it is, in a sentence; table: its name in experiments/paper.yaml; run: the run's
folder, relative to this file's; state: "finished", "to do" or "cannot be run", why: the reason; result: the
SHA-256 of its result.json, or None.
"""

from pathlib import Path

from reid.formats import json_record

NAME = "experiment.json"
REMEDY = "delete it, and tools/run_experiments.sh writes it again"


def read(folder: Path) -> dict | None:
    """The record in a folder, None where there is none; InputError where it is damaged."""
    file = Path(folder) / NAME
    return json_record.load(file, REMEDY) if file.is_file() else None


def write(folder: Path, record: dict) -> None:
    """Write the record of a folder; it appears whole or not at all."""
    json_record.save(Path(folder) / NAME, record, ensure_ascii=False, indent=1)
