"""Recipes, experiments/recipes/*.yaml: settings of a published system as data, with where each was seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from reid.common.errors import InputError
from reid.engine.settings import Settings, as_text
from reid.formats.manifest import READINGS, Manifest, Schedule, option
from reid.formats.yaml_file import mapping, read
from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import OBJECTIVES

KEYS = {"title": str, "source": str, "printed": dict, "base": str, "objective": str, "prepared": dict,
        "settings": dict, "differs": list}
PREPARED = {"schedule": get_args(Schedule), "flip": (False, True), **READINGS}    # of the data's manifest


@dataclass(frozen=True)
class Recipe:
    """One recipe.

    file: where it stands; title, source: what it is of, and which publication; base, objective: which it is
    for, None for any; assignments: its settings, "key=value"; prepared: what a manifest of data_prep has to
    say; differs: what of the publication cannot be expressed.
    """
    file: Path
    title: str
    source: str
    base: str | None
    objective: str | None
    assignments: tuple[str, ...]
    prepared: dict
    differs: tuple[str, ...]


def load(path: Path) -> Recipe:
    """The Recipe in a file; InputError names the file, the key, and what is allowed.

    A setting is {"value", "seen"}: "seen" says where the publication has it.
    """
    top = mapping(path, "the file", read(path), KEYS)
    for key in ("title", "source"):
        if not top.get(key):
            raise InputError(f"{path}: {key} is missing; it says what the recipe is of")
    for key, allowed in (("base", tuple(BACKBONES)), ("objective", OBJECTIVES)):
        if top.get(key, allowed[0]) not in allowed:
            raise InputError(f"{path}: {key} is {top[key]!r}; it is one of {', '.join(allowed)}")
    assignments, known = [], dict.fromkeys(Settings.__annotations__)
    for key, entry in mapping(path, "settings", top.get("settings", {}), known).items():
        entry = mapping(path, f"settings, {key}", entry, {"value": None, "seen": str})
        if set(entry) != {"value", "seen"}:
            raise InputError(f"{path}: settings, {key}: give value and seen, where it was seen")
        assignments.append(f"{key}={as_text(entry['value'])}")
    prepared = mapping(path, "prepared", top.get("prepared", {}), dict.fromkeys(PREPARED))
    for key, value in prepared.items():
        if as_text(value) not in (allowed := [as_text(one) for one in PREPARED[key]]):
            raise InputError(f"{path}: prepared: {key} is {as_text(value)}; it is one of "
                             f"{', '.join(allowed)}")
    return Recipe(path, top["title"], top["source"], top.get("base"), top.get("objective"),
                  tuple(assignments), prepared, tuple(top.get("differs", ())))


def describe(recipe: Recipe) -> list[str]:
    """What a recipe is of and what of it cannot be expressed, as lines."""
    title = f"recipe {recipe.file.stem}: {recipe.title} ({recipe.source})"
    return [title, *(f"  differs: {text}" for text in recipe.differs)]


def check_made_for(recipe: Recipe, base: str | None, objective: str | None) -> None:
    """InputError where a recipe is for another backbone or objective than the given ones; None: not given."""
    for key, given in (("base", base), ("objective", objective)):
        own = getattr(recipe, key)
        if own and given not in (None, own):
            raise InputError(f"{key} {given}: {recipe.file} is for {key} {own}; take that, or the recipe's "
                             "settings without the recipe")


def check_prepared(recipe: Recipe, data: Path, manifest: Manifest) -> None:
    """InputError where data were prepared in another way than a recipe asks for."""
    for key, value in recipe.prepared.items():
        before = manifest.reading(key) if key in READINGS else getattr(manifest, key)
        if before != value:
            found = as_text(before)
            raise InputError(f"{data}: was prepared with {key} {found}, and {recipe.file} is for "
                             f"{as_text(value)}; prepare it into another folder with python -m data_prep … "
                             f"{' '.join(option(key, value))}, or give the recipe's settings with --set")
