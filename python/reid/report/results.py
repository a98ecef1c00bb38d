"""The results of runs: a section for each stage on one set of data, in it a group for each way to train."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.common.errors import InputError
from reid.engine import tables
from reid.engine.settings import FREE, of_run
from reid.formats import result as result_file, yaml_file
from reid.formats.manifest import READINGS
from reid.formats.result import Result
from reid.nets.backbones.registry import BACKBONES
from reid.provenance import finished
from reid.stages.same import SETTINGS

OBJECTIVES = {"vi": "V+I", "v": "V", "i": "I"}
NO_WAY = FREE | {"seed", "pass_pairs"}    # settings that two runs of one way to train may differ in
PRETRAINED, RANDOM, UNKNOWN = "pre-trained", "random", "unknown"


@dataclass(frozen=True)
class Group:
    """The runs of one way to train: its splits and seeds.

    results: its Results; folders: where they came from.
    """
    name: str
    results: list[Result]
    folders: list[Path]

    def runs(self) -> list[Result]:
        """A result for each split and seed: of what was trained again, on another machine say, the last."""
        latest = sorted(self.results, key=lambda result: result.finished or "")
        return list({(result.split, result.settings.get("seed")): result for result in latest}.values())


@dataclass(frozen=True)
class Section:
    """Everything that was run in one stage on one set of images.

    title: stage and data in words, unlike every other Section's of the same gathering.
    """
    stage: str
    dataset: str
    generated: bool
    protocol: str
    groups: list[Group]
    title: str


@dataclass(frozen=True)
class Unfinished:
    """A run without a result. pretrained: whether it starts from weights; iterations: rows of its losses."""
    folder: Path
    stage: str
    base: str
    objective: str
    split: str
    pretrained: bool
    iterations: int


def gather(folder: Path | str) -> list[Section]:
    """The Sections of all result.json files under `folder`, a run that lies there twice once.

    InputError where none is there or one damaged.
    """
    files = sorted(Path(folder).rglob(result_file.NAME))
    if not files:
        raise InputError(f"{folder}: there is no result.json in it; runs are written by tools/train_stage.sh")
    found = {}
    for file in files:
        result = finished.read(file.parent)
        section = result.stage, _data(result), result.generated, result.protocol, result.data["images"]
        way = json.dumps([result.base, result.objective, _origin(result), settings_of(result),
                          result.iterations])
        run = json.dumps([result.split, result.settings.get("seed"), result.data, result.init,
                          result.weights, result.after])    # the same again is no second measurement
        found.setdefault(section, {}).setdefault(way, {}).setdefault(run, (result, file.parent))
    titles = _titles(list(found))
    return [Section(*section[:4], _groups(runs.values() for runs in ways.values()), titles[section])
            for section, ways in sorted(found.items())]


def _titles(sections: Sequence[tuple]) -> dict[tuple, str]:
    """The title of each (stage, dataset, generated, protocol, SHA-256 of the images' LMDB).

    The same photographs stored in another way have another LMDB; its first digits tell such sections apart.
    """
    plain = {section: f"{section[0]} ({'generated people' if section[2] else section[1]})"
             for section in sections}
    alike = Counter(plain.values())
    return {section: f"{title}, images {section[4][:8]}" if alike[title] > 1 else title
            for section, title in plain.items()}


def _data(result: Result) -> str:
    """The dataset; where training identities were held out it is another one, not the paper's."""
    if not result.validation:
        return result.dataset
    return f"{result.dataset}, {result.validation} training identities held out for validation"


def unfinished(folder: Path | str) -> list[Unfinished]:
    """The Unfinished runs under `folder`: with settings.yaml and no result; damaged ones are left out."""
    found = []
    for file in sorted(Path(folder).rglob(SETTINGS)):
        if not (file.parent / result_file.NAME).is_file():
            try:
                asked, losses = yaml_file.read(file), tables.read(file.parent / "losses.csv")
                about = [asked[key] for key in ("stage", "base", "objective", "split")]
                found.append(Unfinished(file.parent, *about, bool(asked["init"]),
                                        int(max(losses.get("iteration", [0])))))
            except (InputError, KeyError, TypeError):
                continue
    return found


def settings_of(result: Result) -> dict[str, Any]:
    """The settings that figures depend on, without the seed, and how the pairs were read.

    What an older run does not say had its default.
    """
    readings = {key: values[0] for key, values in READINGS.items()}
    return {**_of_way(result.base, result.settings), **readings, **(result.readings or {})}


def start_of(result: Result, stands_in: Collection[str] = ()) -> tuple[str, ...]:
    """Where a run's weights come from: PRETRAINED, RANDOM or UNKNOWN, then the stages between, in order.

    stands_in: stages that stand in for ImageNet, for nets that nobody has trained on it.
    """
    if result.lineage:
        first, stages = result.lineage[0].get("name"), [step["stage"] for step in result.lineage[:-1]
                                                        if "stage" in step]
    else:
        first, stages = (result.parent or {}).get("name"), list(filter(None, [result.parent_stage]))
    origin = RANDOM if result.init is None or first == "random weights" else PRETRAINED if first else UNKNOWN
    if stages and stages[0] in stands_in:
        origin, stages = PRETRAINED, stages[1:]
    return origin, *stages


def _origin(result: Result) -> Any:
    """What tells the weights at the start of two ways apart: how they were trained, or which file it is."""
    steps = [[step["stage"], step["base"], step["objective"], step["iterations"],
              _of_way(step["base"], step["settings"])]
             for step in (result.lineage or [])[:-1] if "stage" in step]
    return steps if steps and result.parent_stage else result.init


def _of_way(base: str, settings: dict[str, Any]) -> dict[str, Any]:
    given = of_run(base, settings) if base in BACKBONES else settings
    return {key: value for key, value in given.items() if key not in NO_WAY}


def _groups(ways: Iterable[Iterable[tuple[Result, Path]]]) -> list[Group]:
    """A Group for each way to train, named by its nets and by the settings in which the ways differ."""
    ways = [list(way) for way in ways]
    return [Group(_name(way[0][0], [other[0][0] for other in ways]), [result for result, _ in way],
                  [folder for _, folder in way]) for way in ways]


def differing(result: Result, others: Iterable[Result]) -> str:
    """", key=value" for each setting in which a Result differs from another of its net; "" where in none."""
    theirs = [settings_of(other) for other in others if other.base == result.base]
    return "".join(f", {key}={value}" for key, value in settings_of(result).items()
                   if any(other.get(key) != value for other in theirs))


def _name(result: Result, others: Sequence[Result]) -> str:
    start = f"from {result.parent_stage or result.init['file']}" if result.init else "from random weights"
    return f"{result.base} ({OBJECTIVES[result.objective]}) {start}{differing(result, others)}"
