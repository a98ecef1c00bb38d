"""Where a run's weights come from, stage by stage back to ImageNet or to random weights.

result.json holds it as `lineage`, a list from the first weights to the run itself, and as `parent`, the file
that the run started from. Paths inside the folder of all runs are relative to the run, so that this folder
can be moved as a whole.
"""

import os
from pathlib import Path
from typing import Any

from reid.common.errors import InputError
from reid.common.files import sha256_file
from reid.formats.manifest import NAME as MANIFEST, read as read_manifest, split_checksum
from reid.formats.result import Result
from reid.provenance import finished
from reid.provenance.origin import Origin

Entry = dict[str, Any]


def place(path: Path | str, folder: Path, out: Path) -> str:
    """A path as the run in `folder` records it: below `out` relative to the run, else absolute."""
    path = Path(path).resolve()
    return os.path.relpath(path, folder) if path.is_relative_to(Path(out).resolve()) else str(path)


def parent(origin: Origin | None, folder: Path, out: Path) -> dict[str, Any] | None:
    """What result.json says as `parent` of a run that starts from an Origin (None: random weights)."""
    if origin is None:
        return None
    weights = {"file": place(origin.file, folder, out), "sha256": origin.sha256}
    if origin.run:
        return {**{key: getattr(origin.result, key) for key in ("stage", "split", "base", "objective")},
                **weights}
    return {"name": origin.record.name if origin.record else None, **weights}


def up_to(origin: Origin | None, seed: int) -> list[Entry]:
    """The lineage up to an Origin, the first weights first; seed: of random weights, where origin is None."""
    if origin is None:
        return [{"name": "random weights", "seed": seed, "weights": None}]
    if origin.run:
        return of_result(origin.result)
    about = {key: getattr(origin.record, key, None) for key in ("name", "origin", "licence", "mean")}
    return [{**about, "weights": {"file": origin.file.name, "sha256": origin.sha256}}]


def of_result(result: Result) -> list[Entry]:
    """The lineage of a result, up to its own run; where older versions recorded none, what can be derived."""
    if result.lineage:
        return result.lineage
    if result.init is None:
        first = {"name": "random weights", "seed": result.settings.get("seed"), "weights": None}
    else:
        first = {"name": None, "origin": None, "licence": None, "mean": None, "weights": result.init}
    return [first, entry(result)]


def entry(result: Result) -> Entry:
    """The entry of one run in the lineage."""
    keys = ("stage", "split", "base", "objective", "dataset", "generated", "verification_head", "weights",
            "manifest_sha256", "data_seed", "settings", "iterations")
    versions = result.versions or {}
    return {**{key: getattr(result, key) for key in keys}, "seed": result.settings["seed"],
            "versions": {key: versions.get(key) for key in ("caffe", "caffe_build", "code_sha256")}}


def walk(folder: Path) -> list[tuple[Entry, dict[str, str]]]:
    """The lineage of a run compared with the files: [(entry, {"weights": …, "data": …}), …], the run first.

    Each file is "as recorded: FILE", "changed: FILE", "gone: FILE" or, where its path is not recorded, "not
    known". Raises InputError where the run has no result, or a damaged one.
    """
    result, found = finished.read(folder), []
    weights = _found(_at(folder, (result.weights or {}).get("file")), (result.weights or {}).get("sha256"))
    for one in reversed(of_result(result)):
        if "stage" not in one:
            found.append((one, {"weights": weights} if one["weights"] else {}))
            continue
        found.append((one, {**({"weights": weights} if one["weights"] else {}),
                            "data": _data(folder, result)}))
        # One step back: the parent's weights, and the run that they lie in, if it is still the recorded one.
        link = result.parent or {} if result else {}
        file = _at(folder, link.get("file"))
        weights = _found(file, link.get("sha256"))
        folder = file.parents[2] if file and link.get("stage") else None
        result = _result_of(folder, link.get("sha256"))
    return found


def _at(folder: Path | None, place: str | None) -> Path | None:
    return Path(os.path.normpath(Path(folder) / place)) if folder and place else None


def _found(file: Path | None, sha256: str | None) -> str:
    if file is None:
        return "not known"
    if not file.is_file():
        return f"gone: {file}"
    return f"as recorded: {file}" if sha256_file(file) == sha256 else f"changed: {file}"


def _result_of(folder: Path | None, sha256: str | None) -> Result | None:
    """The result of the run in a folder if its weights have this checksum, else None."""
    try:
        result = finished.read(folder) if folder else None
    except InputError:
        return None
    return result if result and (result.weights or {}).get("sha256") == sha256 else None


def _data(folder: Path | None, result: Result | None) -> str:
    """How a run's data manifest compares with what was recorded. Splits added later are no difference."""
    data = _at(folder, result and result.data_folder)
    if data is None:
        return "not known"
    file = data / MANIFEST
    if not file.is_file():
        return f"gone: {file}"
    if sha256_file(file) == result.manifest_sha256:
        return f"as recorded: {file}"
    try:
        same = split_checksum(read_manifest(file), result.split) == result.split_sha256
    except (InputError, KeyError):
        same = False
    return f"as recorded for {result.split}: {file}" if same else f"changed: {file}"


def known(lineage: list[Entry]) -> bool:
    """Whether a lineage goes back to weights whose origin is known."""
    return bool(lineage[0]["name"])
