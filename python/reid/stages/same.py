"""What makes two runs the same: a folder is resumed only with the settings and inputs it was started with."""

from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

import yaml

from reid.common.errors import InputError
from reid.common.files import read_bytes
from reid.engine import snapshots
from reid.engine.settings import AUTO, FREE, Settings, as_plain, check_plain, of_run
from reid.formats import json_record, result as result_file
from reid.formats.manifest import Manifest
from reid.formats.result import Data, Head, Objective, Parent
from reid.formats.snapshot import FACTS, WEIGHTS
from reid.nets.backbones.registry import BACKBONES
from reid.provenance import finished

if TYPE_CHECKING:    # which imports this file
    from reid.stages.stage import Job

SETTINGS, START, HEAD = "settings.yaml", "start.json", "verification_head"
ASKED = "stage", "split", "base", "objective", "init", "data", "settings"    # the keys of `asked_for`


class Init(TypedDict):
    """The weights at the start. A snapshot does not say the name of their file, which changes nothing."""
    file: NotRequired[str]
    sha256: str


class Asked(TypedDict):
    """What settings.yaml holds, as `asked_for` returns it, and a snapshot. init: None for random weights."""
    stage: str
    split: str
    base: str
    objective: Objective
    init: Init | None
    data: Data
    settings: dict
    verification_head: NotRequired[Head | None]


class Start(TypedDict):
    """What start.json holds."""
    verification_head: Head | None
    parent: Parent | None


def asked_for(job: "Job", settings: Settings, manifest: Manifest, split: str) -> dict:
    """All that a run's figures depend on, as settings.yaml and result.json keep it.

    settings: the run's, with pass_pairs chosen.
    """
    entry = manifest.splits[split]
    init = {"file": job.origin.file.name, "sha256": job.origin.sha256} if job.origin else None
    return {"stage": job.stage, "split": split, "base": job.base, "objective": job.objective,
            "init": {"file": WEIGHTS, "sha256": None} if job.parent_job else init,
            "data": {"images": manifest.image_lmdb.sha256,
                     "train_pairs": entry.train_pairs.sha256,
                     "test_pairs": entry.test_pairs.sha256},
            "settings": as_plain(settings)}


def check_same(folder: Path, asked: dict, parent_is_trained: bool) -> None:
    """InputError where a folder was started with settings or inputs that give other figures.

    settings.yaml, the result and each snapshot record them; any of these files may be missing.
    parent_is_trained: whether the weights to start from exist; if not, they cannot be compared.
    """
    now = _binding(asked)
    for place, before in _said(folder):
        _compare(place, now if before is None else before, now, parent_is_trained)


def started_passes(folder: Path, batch: int) -> int | None:
    """The pass_pairs that a folder was started with, where it was started with this batch; else None."""
    before = next((before for _, before in _said(folder) if before is not None), {})
    same = before.get("settings.batch") == batch and before.get("settings.pass_pairs") != AUTO
    return before.get("settings.pass_pairs") if same else None


def _said(folder: Path) -> list[tuple[Path, dict | None]]:
    """What a folder was started with, flat, from each place that records it; None: that place does not."""
    said = []
    if (folder / SETTINGS).is_file():
        said.append((folder, _binding(_settings(folder))))
    if (folder / result_file.NAME).is_file():
        result = finished.read(folder)
        said.append((folder, _binding({key: getattr(result, key) for key in ASKED})))
    for place, kept in snapshots.records(folder):
        if kept.trained_with is None and not said:
            raise InputError(f"{place}: does not say what it was trained with, and {SETTINGS} is gone; bring "
                             "that back, or choose another --out")
        asked = None if kept.trained_with is None else _nested(kept.trained_with)
        if asked is not None:
            _check(asked, place / FACTS, "bring it back, or delete the snapshot", "trained_with")
        said.append((place, asked and _binding(asked)))
    return said


def _compare(place: Path, before: dict, now: dict, parent_is_trained: bool) -> None:
    for key in {**before, **now}:
        if (before.get(key) != now.get(key) and key != HEAD
                and (parent_is_trained or not key.startswith("init"))):
            name = key.removeprefix("settings.")
            raise InputError(f"{place}: was started with {name}={before.get(key)}; you asked for "
                             f"{now.get(key)}. Use {before.get(key)} or another --out")


def check_head(folder: Path, head: str | None) -> None:
    """InputError where a folder was started with another choice for the verification head.

    head: "kept", "fresh", …
    """
    recorded = [kept.trained_with or {} for _, kept in snapshots.records(folder)]
    heads = [one[HEAD] for one in recorded if HEAD in one]
    if (folder / result_file.NAME).is_file():
        heads.append(finished.read(folder).verification_head)
    if (folder / SETTINGS).is_file():
        # Versions without chains wrote no start.json, and kept no head.
        other = None if any(heads) else "fresh"
        heads.append(read_start(folder)[HEAD] if (folder / START).is_file() else other)
    for before in heads:
        if {before, head} == {"kept", "fresh"}:
            raise InputError(f"{folder}: was started with a {before} verification head; you asked for a "
                             f"{head} one. Use a {before} one or another --out")


def trained_with(asked: dict, head: str | None) -> dict:
    """The settings and inputs that every snapshot of a run records, flat: {"settings.lr": 0.001, …}."""
    return {**_binding(asked), HEAD: head}


def started_from(folder: Path) -> str | None:
    """The sha256 of the weights that a folder was started from; None: not started, or from random ones."""
    return _binding(_settings(folder)).get("init.sha256") if (folder / SETTINGS).is_file() else None


def write_start(folder: Path, head: str | None, parent: dict | None) -> None:
    """Write start.json: what becomes of the verification head, and the parent (provenance.lineage.parent)."""
    json_record.save(folder / START, {HEAD: head, "parent": parent}, indent=1)


def read_start(folder: Path) -> dict:
    """What `write_start` wrote, {"verification_head", "parent"}; InputError where it is damaged."""
    remedy = f"bring it back, or delete it and {SETTINGS}: snapshots and result hold what was asked for too"
    start = json_record.load(folder / START, remedy)
    json_record.check_value(start, Start, "", folder / START, f"damaged; {remedy}")
    return start


def _settings(folder: Path) -> dict:
    """The content of settings.yaml; InputError where it is damaged."""
    file = folder / SETTINGS
    remedy = "bring it back, or delete it: snapshots and result hold what was asked for too"
    try:
        content = yaml.safe_load(read_bytes(file).decode())
        if not isinstance(content, dict):
            raise ValueError("not a mapping")
    except (yaml.YAMLError, ValueError, RecursionError) as error:    # text that is not UTF-8 is a ValueError
        raise InputError(f"{file}: damaged: {' '.join(str(error).split())}; {remedy}") from None
    _check(content, file, f"damaged; {remedy}")
    return content


def _check(asked: dict, file: Path, remedy: str, key: str = "") -> None:
    """InputError where what a file holds, under a key, is not what `asked_for` returns."""
    json_record.check_value(asked, Asked, key, file, remedy)
    check_plain(asked["settings"], f"{key}.settings".lstrip("."), file, remedy)


def _binding(asked: dict) -> dict:
    """The settings and inputs that two equal runs have in common, flat: {"settings.lr": 0.001, …}."""
    base, given, flat = asked.get("base"), asked.get("settings"), {}
    if isinstance(base, str) and base in BACKBONES and isinstance(given, dict):    # else it is damaged
        asked = {**asked, "settings": of_run(base, given)}
    for key, value in asked.items():
        flat.update({f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict)
                    else {key: value})
    return {key: value for key, value in flat.items()
            # a file's name changes nothing
            if key.removeprefix("settings.") not in FREE and key != "init.file"}


def _nested(flat: dict) -> dict:
    """The opposite of the flattening of `_binding`."""
    asked: dict = {}
    for key, value in flat.items():
        part, dot, inner = key.partition(".")
        if dot:
            asked.setdefault(part, {})[inner] = value
        else:
            asked[part] = value
    return asked
