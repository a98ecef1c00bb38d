"""A split resolved on an index: which images train, which are queries and which are the gallery."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NotRequired, TypedDict

from data_prep.index import Index
from data_prep.readers.registry import DATASETS
from data_prep.splits.draw import Rule, draw
from reid.common.errors import InputError
from reid.common.rng import generator
from reid.formats import json_record

SEED = 2017  # of the committed files
RULES = {rule.name: rule for dataset in DATASETS.values() for rule in dataset.rules.values() if rule.name}
COMMITTED = {name: Path(__file__).with_name(f"{name}.json") for name in RULES}


class Parts(TypedDict):
    """The identities of a split."""
    train: list[str]
    validation: NotRequired[list[str]]
    test: list[str]


class Committed(TypedDict):
    """What a committed file holds."""
    splits: list[Parts]


@dataclass(frozen=True)
class Split:
    """One split: places in the index of its images by their role, and where it came from.

    `validation`: images, by all cameras, of identities set aside to test the net while it trains;
    `multi_query`: Market-1501's further images of the query identities by the queries' cameras.
    """
    origin: str
    train: list[int] = field(default_factory=list)
    query: list[int] = field(default_factory=list)
    gallery: list[int] = field(default_factory=list)
    validation: list[int] = field(default_factory=list)
    multi_query: list[int] = field(default_factory=list)


def split_count(index: Index) -> int:
    """Return how many splits the dataset has: 1 where it fixes the role of every image itself."""
    return 1 if is_fixed(index) else _rule(index).splits


def load_split(index: Index, number: int, seed: int) -> Split:
    """Return split `number` of a dataset.

    It comes from the roles that the dataset itself gives, else from its own test sets, else from the
    committed file; generated people and a user's own images are drawn from the seed. In a single-shot split
    the queries are the test identities' images of the lowest camera and the gallery their images of the
    others. Identities that one camera alone has seen (CUHK03 may have some) are in no part. Raises InputError
    for a number out of range and an empty split.
    """
    if not 0 <= number < split_count(index):
        raise InputError(f"split {number}: {index.dataset} has splits 0 to {split_count(index) - 1}")
    origin, parts = (index.roles_from, {}) if is_fixed(index) else _parts(index, number, seed)
    part_of = {identity: part for part, identities in parts.items() for identity in identities}
    cameras = defaultdict(set)
    for image in index.images:
        cameras[image.identity].add(image.camera)
    split = Split(origin)
    for place, image in enumerate(index.images):
        views = cameras[image.identity]
        role = image.role or (part_of.get(image.identity) if len(views) > 1 else None)
        if role == "test":
            role = "query" if image.camera == min(views) else "gallery"
        if role:
            getattr(split, role).append(place)
    for role in ("train", "query", "gallery"):
        if not getattr(split, role):
            raise InputError(f"{index.root}: split {number} ({origin}) has no {role} images; the dataset has "
                             f"{len(index.identities())} identities: add identities, or images of that role")
    return split


def committed(name: str) -> list[dict[str, list[str]]]:
    """Return the splits of a committed file, by their number; InputError where the file is damaged."""
    remedy = f"bring it back, or write it again with `python -m data_prep.splits {name}`"
    content = json_record.load(COMMITTED[name], remedy, needed=True)
    json_record.check_value(content, Committed, "", COMMITTED[name], remedy)
    rule, splits = RULES[name], content["splits"]
    if len(splits) != rule.splits:
        raise InputError(f"{COMMITTED[name]}: holds {len(splits)} splits, not {rule.splits}; {remedy}")
    wanted = {"train": rule.people - rule.test - rule.validation, "validation": rule.validation,
              "test": rule.test}
    for number, parts in enumerate(splits):
        found = {part: len(parts.get(part, ())) for part in wanted}
        if found != wanted or len(set().union(*parts.values())) != rule.people:
            raise InputError(f"{COMMITTED[name]}: splits.{number} holds {found} identities, some perhaps "
                             f"twice; it must be {wanted}, each once; {remedy}")
    return splits


def is_fixed(index: Index) -> bool:
    """Say whether the dataset itself gives every image its role."""
    return all(image.role for image in index.images)


def _rule(index: Index) -> Rule:
    return DATASETS[index.dataset].rule(index.variant)


def _parts(index: Index, number: int, seed: int) -> tuple[str, dict[str, list[str]]]:
    """Return where a split comes from, and the identities that train, are tested and perhaps validate."""
    rule, dataset = _rule(index), DATASETS[index.dataset]
    people = sorted({image.identity for image in index.images
                     if not image.role and dataset.divided(image.identity)})
    if index.test_sets:
        return (f"the dataset's own test set #{number}, validation from seed {SEED}",
                _around(index.test_sets[number], people, number, rule))
    if rule.name and not index.generated:
        parts = committed(rule.name)[number]
        return (f"committed {rule.name}.json #{number}",
                {part: [dataset.prefix + identity for identity in identities]
                 for part, identities in parts.items()})
    if index.tested:
        rule = replace(rule, people=len(people), test=index.tested, validation=rule.validated(len(people)))
    return f"drawn, seed {seed}, #{number}", draw(people, seed, rule)[number]


def _around(test_set: Iterable[str], people: list[str], number: int, rule: Rule) -> dict[str, list[str]]:
    """Return the parts of a split whose test identities are fixed: validation is drawn from the rest."""
    rest = sorted(set(people) - set(test_set))
    order = [rest[place] for place in generator(SEED, "validation", number).permutation(len(rest))]
    kept = rule.validated(len(people))
    return {"train": order[kept:], "validation": order[:kept], "test": list(test_set)}
