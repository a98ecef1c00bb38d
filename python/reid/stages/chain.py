"""Chains of stages (paper, section II-D), read from experiments/stages.yaml: which starts from which."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.common.errors import InputError
from reid.engine.settings import Settings, as_text
from reid.formats.yaml_file import mapping, read
from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import OBJECTIVES

IMAGENET, RANDOM = "imagenet", "random"
HEADS = ("keep", "restart")


@dataclass(frozen=True)
class Step:
    """One stage of a chain.

    parent: IMAGENET, RANDOM or the name of another stage; keep_head: keep the parent's verification head
    where it has one; objective: None for the one that is asked for; settings: assignments, "lr=0.01".
    """
    stage: str
    parent: str
    keep_head: bool
    objective: str | None
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Chains:
    """The contents of a chain file.

    stands_for: {base: ("weights" or "stage", name)}; chains: {name: {stage: Step}}.
    """
    file: Path
    stands_for: dict
    chains: dict

    def find(self, stage: str, name: str | None = None) -> str | None:
        """The name of the chain to follow for a stage: `name`, or the file's first; None if no chain has it.

        InputError where there is no chain `name`, or the stage is in other chains only.
        """
        if name is not None and name not in self.chains:
            raise InputError(f"--chain {name}: {self.file} has the chains {', '.join(self.chains)}")
        holding = [other for other, steps in self.chains.items() if stage in steps]
        if (name or next(iter(self.chains))) in holding:
            return name or holding[0]
        if name is None and not holding:
            return None
        raise InputError(f"{self.file}: chain {name or next(iter(self.chains))} has no stage {stage}"
                         + (f"; give --chain {' or '.join(holding)}" if holding else ""))

    def path_to(self, name: str, stage: str, base: str) -> list[Step]:
        """The Steps to a stage of chain `name`, from the first to `stage` itself.

        Only the first one has the parent IMAGENET or RANDOM. InputError where nothing stands for ImageNet
        with this backbone.
        """
        steps = [self.chains[name][stage]]
        while (parent := self.parent(steps[0], base)) in self.chains[name]:
            steps.insert(0, self.chains[name][parent])
        if parent == IMAGENET and base not in self.stands_for:
            raise InputError(f"{self.file}: imagenet says nothing of base {base}, from which stage "
                             f"{steps[0].stage} starts; it has {', '.join(self.stands_for)}")
        return steps

    def parent(self, step: Step, base: str) -> str:
        """What a Step starts from with a backbone: its parent, or the stage that stands for ImageNet."""
        kind, name = self.stands_for.get(base, (None, None))
        return name if step.parent == IMAGENET and kind == "stage" else step.parent

    def weights(self, step: Step, base: str) -> str | None:
        """The name of the weights that stand for ImageNet where a Step starts from such, None elsewhere."""
        kind, name = self.stands_for.get(base, (None, None))
        return name if step.parent == IMAGENET and kind == "weights" else None


def load(path: Path | str) -> Chains:
    """The Chains in a file; InputError names the file, the key, and what is allowed."""
    path = Path(path)
    top = mapping(path, "the file", read(path), {"imagenet": dict, "chains": dict})
    if not top.get("chains"):
        raise InputError(f"{path}: chains is missing or empty; it says the stages of each chain")
    stands_for = {base: _stand_in(path, base, entry) for base, entry in top.get("imagenet", {}).items()}
    chains = {}
    for name, stages in top["chains"].items():
        stages = mapping(path, f"chain {name}", stages)
        chains[name] = {stage: _step(path, f"chain {name}, stage {stage}", stage, entry)
                        for stage, entry in stages.items()}
    loaded = Chains(path, stands_for, chains)
    for name, steps in chains.items():
        for stage in steps:
            for base in BACKBONES:
                _check_path(loaded, name, stage, base)
    return loaded


def _stand_in(path: Path, base: str, entry: Any) -> tuple[str, str]:
    """("weights" or "stage", name): what imagenet means for a backbone."""
    if base not in BACKBONES:
        raise InputError(f"{path}: imagenet: base {base!r} is not known; there are {', '.join(BACKBONES)}")
    entry = mapping(path, f"imagenet of {base}", entry, {"weights": str, "stage": str})
    if len(entry) != 1:
        raise InputError(f"{path}: imagenet of {base} is {entry}; give one of weights and stage")
    return next(iter(entry.items()))


def _step(path: Path, where: str, stage: str, entry: Any) -> Step:
    kinds = {"parent": str, "verification_head": str, "objective": str, "settings": dict}
    entry = mapping(path, where, entry, kinds)
    if "parent" not in entry:
        raise InputError(f"{path}: {where}: parent is missing; it is imagenet, random or another stage")
    for key, allowed in (("verification_head", HEADS), ("objective", OBJECTIVES)):
        if entry.get(key, allowed[0]) not in allowed:
            raise InputError(f"{path}: {where}: {key} is {entry[key]!r}; it is one of {', '.join(allowed)}")
    known = dict.fromkeys(Settings.__annotations__)
    settings = mapping(path, f"{where}, settings", entry.get("settings", {}), known)
    return Step(stage, entry["parent"], entry.get("verification_head", "keep") == "keep",
                entry.get("objective"),
                tuple(f"{key}={as_text(value)}" for key, value in settings.items()))


def _check_path(loaded: Chains, name: str, stage: str, base: str) -> None:
    """InputError where the path to a stage has a parent that is not in the chain, or a stage twice."""
    steps, seen = loaded.chains[name], [stage]
    while (parent := loaded.parent(steps[seen[-1]], base)) not in (IMAGENET, RANDOM):
        where = f"{loaded.file}: chain {name}, stage {seen[-1]}"
        if parent not in steps:
            stands_in = steps[seen[-1]].parent == IMAGENET
            stands = f" (it stands for ImageNet with base {base})" if stands_in else ""
            raise InputError(f"{where}: parent {parent!r} is not known{stands}; "
                             f"the parent is {IMAGENET}, {RANDOM} or one of {', '.join(steps)}")
        if parent in seen:
            raise InputError(f"{where}: goes round in a cycle: {' from '.join([*seen, parent])}")
        seen.append(parent)
