"""The results of runs: a section for each stage on one set of data, in it a group for each way to train."""

import json
from dataclasses import dataclass
from pathlib import Path

from reid.common.errors import InputError
from reid.engine.settings import of_run
from reid.formats import result as result_file
from reid.formats.manifest import READINGS
from reid.nets.backbones.registry import BACKBONES


@dataclass(frozen=True)
class Group:
    """The splits of one way to train. results: its Results; folders: where they came from."""
    name: str
    results: list
    folders: list


@dataclass(frozen=True)
class Section:
    """Everything that was run in one stage on one set of images."""
    stage: str
    dataset: str
    generated: bool
    protocol: str
    groups: list


def gather(folder):
    """The Sections of all result.json files under `folder`; InputError where none is there or one damaged."""
    files = sorted(Path(folder).rglob(result_file.NAME))
    if not files:
        raise InputError(f"{folder}: there is no result.json in it; runs are written by tools/train_stage.sh")
    found = {}
    for file in files:
        result = result_file.read(file.parent)
        section = result.stage, _data(result), result.generated, result.protocol, result.data["images"]
        way = json.dumps([result.base, result.objective, result.init, _settings(result), result.iterations])
        found.setdefault(section, {}).setdefault(way, []).append((result, file.parent))
    return [Section(*section[:4], _groups(ways.values())) for section, ways in sorted(found.items())]


def _data(result):
    """The dataset; where training identities were held out it is another one, not the paper's."""
    if not result.validation:
        return result.dataset
    return f"{result.dataset}, {result.validation} training identities held out for validation"


def _groups(ways):
    """A Group for each way to train, named by its nets and by the settings in which the ways differ."""
    ways = [list(way) for way in ways]
    settings = [_settings(way[0][0]) for way in ways]
    kept = dict.fromkeys([*(key for way in ways for key in way[0][0].settings), *READINGS])
    differing = [key for key in kept if key in settings[0]
                 and any(one.get(key) != settings[0][key] for one in settings)]
    return [Group(_name(way[0][0], differing), [result for result, _ in way], [folder for _, folder in way])
            for way in ways]


def _name(result, differing):
    objective = {"vi": "V+I", "v": "V", "i": "I"}[result.objective]
    start = f"from {result.parent_stage or result.init['file']}" if result.init else "from random weights"
    extra = "".join(f", {key}={_settings(result).get(key)}" for key in differing)
    return f"{result.base} ({objective}) {start}{extra}"


def _settings(result):
    """The settings of a result and how its pairs were read.

    Without its passes, which make the same updates.
    """
    settings = of_run(result.base, result.settings) if result.base in BACKBONES else dict(result.settings)
    settings.pop("pass_pairs", None)
    return {**settings, **{key: values[0] for key, values in READINGS.items()}, **(result.readings or {})}
