"""Where a run's weights come from, stage by stage back to ImageNet or to random weights.

result.json holds it as `lineage`, a list from the first weights to the run itself, and as `parent`, where the
file of the step before lies. Places inside the folder of all runs are relative to the run, so that the whole
can be moved.
"""

import os
from pathlib import Path

from reid.common.errors import InputError
from reid.common.files import sha256_file
from reid.formats import result as result_file
from reid.formats.manifest import read as read_manifest, split_checksum


def place(path, folder, out):
    """A path as the run in `folder` keeps it: relative to it below `out`, the folder of all runs."""
    path = Path(path).resolve()
    return os.path.relpath(path, folder) if path.is_relative_to(Path(out).resolve()) else str(path)


def parent(origin, folder, out):
    """The step before a run from an Origin (None: random weights): what it is, its file and checksum."""
    if origin is None:
        return None
    weights = {"file": place(origin.file, folder, out), "sha256": origin.sha256}
    if origin.run:
        return {**{key: getattr(origin.result, key) for key in ("stage", "split", "base", "objective")},
                **weights}
    return {"name": origin.record.name if origin.record else None, **weights}


def up_to(origin, seed):
    """The lineage of an Origin, first weights first; seed: of the random weights where it is None."""
    if origin is None:
        return [{"name": "random weights", "seed": seed, "weights": None}]
    if origin.run:
        return of_result(origin.result)
    about = {key: getattr(origin.record, key, None) for key in ("name", "origin", "licence", "mean")}
    return [{**about, "weights": {"file": origin.file.name, "sha256": origin.sha256}}]


def of_result(result):
    """The lineage of a result, down to its own run. Of a result without one, all that it says."""
    if result.lineage:
        return result.lineage
    if result.init is None:
        first = {"name": "random weights", "seed": result.settings["seed"], "weights": None}
    else:
        first = {"name": None, "origin": None, "licence": None, "mean": None, "weights": result.init}
    return [first, entry(result)]


def entry(result):
    """What the lineage says of one run."""
    keys = ("stage", "split", "base", "objective", "dataset", "generated", "verification_head", "weights",
            "manifest_sha256", "data_seed", "settings", "iterations")
    versions = result.versions or {}
    return {**{key: getattr(result, key) for key in keys}, "seed": result.settings["seed"],
            "versions": {key: versions.get(key) for key in ("caffe", "caffe_build", "code_sha256")}}


def walk(folder):
    """What a run stands on: [(entry, {"weights", "data": what is found of it now}), …], the run itself first.

    What is found is "as recorded", "changed", "gone" or "not known" (where it lies). Raises InputError where
    the run has no result, or a damaged one.
    """
    result, found = result_file.read(folder), []
    weights = _found(_at(folder, (result.weights or {}).get("file")), (result.weights or {}).get("sha256"))
    for one in reversed(of_result(result)):
        if "stage" not in one:
            found.append((one, {"weights": weights} if one["weights"] else {}))
            continue
        found.append((one, {**({"weights": weights} if one["weights"] else {}),
                            "data": _data(folder, result)}))
        # One step back: the parent's weights by their place, and the run around them while it is the one that
        # was meant
        link = result.parent or {} if result else {}
        file = _at(folder, link.get("file"))
        weights = _found(file, link.get("sha256"))
        folder = file.parents[2] if file and link.get("stage") else None
        result = _result_of(folder, link.get("sha256"))
    return found


def _at(folder, place):
    return Path(os.path.normpath(Path(folder) / place)) if folder and place else None


def _found(file, sha256):
    if file is None:
        return "not known"
    if not file.is_file():
        return f"gone: {file}"
    return f"as recorded: {file}" if sha256_file(file) == sha256 else f"changed: {file}"


def _result_of(folder, sha256):
    """The result of a run while it is that of the weights with this checksum, else None."""
    try:
        result = result_file.read(folder) if folder else None
    except InputError:
        return None
    return result if result and (result.weights or {}).get("sha256") == sha256 else None


def _data(folder, result):
    """What is found of a run's data manifest. Splits that came to it later change nothing."""
    data = _at(folder, result and result.data_folder)
    if data is None:
        return "not known"
    file = data / "manifest.json"
    if not file.is_file():
        return f"gone: {file}"
    if sha256_file(file) == result.manifest_sha256:
        return f"as recorded: {file}"
    try:
        same = split_checksum(read_manifest(file), result.split) == result.split_sha256
    except (InputError, KeyError):
        same = False
    return f"as recorded for {result.split}: {file}" if same else f"changed: {file}"


def known(lineage):
    """Whether a lineage goes back to weights whose origin is known."""
    return bool(lineage[0]["name"])
