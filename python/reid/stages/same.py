"""What makes two runs the same: a folder is resumed, and is finished, for what it was started with alone."""

import json
from pathlib import Path

import yaml

from reid.common.errors import InputError
from reid.engine.settings import FREE, as_plain
from reid.formats.snapshot import WEIGHTS

SETTINGS, START = "settings.yaml", "start.json"


def asked_for(job, manifest: dict, split: str) -> dict:
    """All that a run's figures depend on, as settings.yaml and result.json keep it; job: stages.stage.Job."""
    entry = manifest["splits"][split]
    init = {"file": job.origin.file.name, "sha256": job.origin.sha256} if job.origin else None
    return {"stage": job.stage, "split": split, "base": job.base, "objective": job.objective,
            "init": {"file": WEIGHTS, "sha256": None} if job.parent_job else init,
            "data": {"images": manifest["image_lmdb"]["sha256"],
                     "train_pairs": entry["train_pairs"]["sha256"],
                     "test_pairs": entry["test_pairs"]["sha256"]},
            "settings": as_plain(job.settings)}


def check_same(folder: Path, asked: dict, parent_is_trained: bool) -> None:
    """InputError where a folder was begun with something that makes other figures.

    parent_is_trained: whether the weights to start from are there; where not, they cannot be compared.
    """
    file = folder / SETTINGS
    if not file.is_file():
        return
    before, now = (_binding(one) for one in (yaml.safe_load(file.read_text()), asked))
    for key in {**before, **now}:
        if before.get(key) != now.get(key) and (parent_is_trained or not key.startswith("init")):
            raise InputError(f"{folder}: was begun with {key} {before.get(key)}, not {now.get(key)}; "
                             "ask for the same again, or choose another --out")


def check_head(folder: Path, head: str | None) -> None:
    """InputError where a folder was started with another choice for the verification head ("kept", …)."""
    file = folder / START
    before = json.loads(file.read_text())["verification_head"] if file.is_file() else "fresh"
    if (folder / SETTINGS).is_file() and {before, head} == {"kept", "fresh"}:
        raise InputError(f"{folder}: was begun with a {before} verification head, not a {head} one; ask for "
                         "the same again, or choose another --out")


def started_from(folder: Path) -> str | None:
    """The sha256 of the weights that a folder was started from; None if not started, or from random ones."""
    file = folder / SETTINGS
    init = yaml.safe_load(file.read_text())["init"] if file.is_file() else None
    return init and init["sha256"]


def _binding(asked: dict) -> dict:
    """What a run must have in common with another to be the same, flat: {"settings.lr": 0.001, …}."""
    flat = {}
    for key, value in asked.items():
        flat.update({f"{key}.{inner}": v for inner, v in value.items()}
                    if isinstance(value, dict) else {key: value})
    return {key: value for key, value in flat.items()
            # a file's name changes nothing
            if key.removeprefix("settings.") not in FREE and key != "init.file"}
