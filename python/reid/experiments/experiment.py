"""Experiments, experiments/table1.yaml and others, and scales, experiments/scales.yaml: read and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.common.errors import InputError
from reid.engine.settings import as_text, defaults, kinds, override
from reid.formats.yaml_file import mapping, read
from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import OBJECTIVES

ROW = {"method": str, "base": str, "objective": str, "chain": str, "recipe": str, "settings": dict}
PEOPLE = {"layout": None, "identities": None, "seed": None, "epochs": None}
TOGETHER = {"epochs": None}    # a stage that is made of others


@dataclass(frozen=True)
class Row:
    """One row of a table: how a net is trained.

    method: the row's name in the paper; chain: of experiments/stages.yaml; recipe: of experiments/recipes;
    settings: assignments, "verif_weight=1".
    """
    name: str
    method: str
    base: str
    objective: str
    chain: str
    recipe: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Experiment:
    """A table or a figure of the paper; table: its name in paper.yaml; datasets: {stage: how many splits}."""
    file: Path
    title: str
    table: str
    datasets: dict[str, int]
    rows: dict[str, Row]

    @property
    def name(self) -> str:
        """The file's name, which the command line takes."""
        return self.file.stem


@dataclass(frozen=True)
class Scale:
    """What a scale changes of every row; the first lines of scales.yaml say what each field is."""
    name: str
    about: str
    base: str | None
    splits: dict[str, int]
    settings: tuple[str, ...]
    stages: dict[str, tuple[str, ...]]
    generated: dict[str, dict]


def load(path: Path, paper: dict) -> Experiment:
    """The Experiment in a file; InputError names the file, the key and what is allowed.

    paper: as reid.report.paper.load gives it; a row's method, base and objective have to be in its table.
    """
    top = mapping(path, "the file", read(path), {"title": str, "table": str, "datasets": dict, "rows": dict})
    for key in ("title", "table", "datasets", "rows"):
        if not top.get(key):
            raise InputError(f"{path}: {key} is missing or empty")
    rows = {name: _row(path, name, entry) for name, entry in mapping(path, "rows", top["rows"]).items()}
    if top["table"] not in paper:
        raise InputError(f"{path}: table {top['table']!r} is not in the paper's; there are "
                         f"{', '.join(key for key in paper if isinstance(paper[key], dict))}")
    printed = {(row["method"], row.get("base"), row.get("objective"))
               for row in paper[top["table"]].get("rows", ())}
    for row in rows.values() if printed else ():
        if (row.method, row.base, row.objective) not in printed:
            raise InputError(f"{path}: row {row.name}: {top['table']} of the paper has no row {row.method!r} "
                             f"with base {row.base} and objective {row.objective}")
    datasets = _counts(path, "datasets", top["datasets"])
    return Experiment(Path(path), top["title"], top["table"], datasets, rows)


def load_scales(path: Path) -> dict[str, Scale]:
    """The Scales in a file, by name; InputError names the file, the key and what is allowed."""
    return {name: _scale(path, name, entry) for name, entry in mapping(path, "the file", read(path)).items()}


def _row(path: Path, name: str, entry: Any) -> Row:
    where = f"row {name}"
    entry = mapping(path, where, entry, ROW)
    missing = [key for key in ("method", "base", "objective", "chain") if key not in entry]
    if missing:
        raise InputError(f"{path}: {where}: {missing[0]} is missing")
    for key, allowed in (("base", tuple(BACKBONES)), ("objective", OBJECTIVES)):
        if entry[key] not in allowed:
            raise InputError(f"{path}: {where}: {key} is {entry[key]!r}; it is one of {', '.join(allowed)}")
    return Row(name, entry["method"], entry["base"], entry["objective"], entry["chain"],
               entry.get("recipe", "paper"), _settings(path, where, entry.get("settings", {}), entry["base"]))


def _scale(path: Path, name: str, entry: Any) -> Scale:
    entry = mapping(path, name, entry, {"about": str, "base": str, "splits": dict, "settings": dict,
                                        "stages": dict, "generated": dict})
    base = entry.get("base")
    if not entry.get("about"):
        raise InputError(f"{path}: {name}: about is missing; it says in a sentence what the scale is")
    if base is not None and base not in BACKBONES:
        raise InputError(f"{path}: {name}: base is {base!r}; it is one of {', '.join(BACKBONES)}")
    of = base or next(iter(BACKBONES))
    stages = {stage: _settings(path, f"{name}, {stage}", values, of)
              for stage, values in mapping(path, name, entry.get("stages", {})).items()}
    generated = mapping(path, f"{name}, generated", entry.get("generated", {}))
    for stage, how in generated.items():
        where, known = f"{name}, generated, {stage}", PEOPLE if set(how or {}) != set(TOGETHER) else TOGETHER
        if set(mapping(path, where, how, known)) != set(known):
            raise InputError(f"{path}: {where}: give {', '.join(known)}")
    return Scale(name, entry["about"], base, _counts(path, f"{name}, splits", entry.get("splits", {})),
                 _settings(path, name, entry.get("settings", {}), of), stages, generated)


def _settings(path: Path, where: str, values: Any, base: str) -> tuple[str, ...]:
    """{"verif_weight": 1} as assignments, each tried."""
    known = dict.fromkeys(kinds())
    given = tuple(f"{key}={as_text(value)}"
                  for key, value in mapping(path, f"{where}, settings", values, known).items())
    override(defaults(base), given, f"{path}: {where}:")
    return given


def _counts(path: Path, where: str, values: Any) -> dict[str, int]:
    for name, count in mapping(path, where, values).items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise InputError(f"{path}: {where}: {name} is {count!r}; it is a number of splits, at least 1")
    return values
