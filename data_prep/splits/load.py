"""A split resolved on an index: which images train, which are queries and which are the gallery."""

import json
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import InputError
from data_prep.index import Index
from data_prep.splits.draw import SPLITS, draw

_ROLES = ("train", "query", "gallery")
COMMITTED = {"viper": Path(__file__).with_name("viper.json")}


@dataclass(frozen=True)
class Split:
    """One split: places in the index of its train, query and gallery images, and where it came from."""
    origin: str
    train: list[int]
    query: list[int]
    gallery: list[int]


def split_count(index: Index) -> int:
    """Return how many splits the dataset has: 1 where it fixes the role of every image itself, else 10."""
    return 1 if index.images[0].role else SPLITS


def load_split(index: Index, number: int, seed: int) -> Split:
    """Return split `number` of a dataset.

    The dataset's own roles come first, then the committed file, then (generated people, a user's own images)
    half and half drawn from the seed. In a single-shot split the queries are the test identities' images of
    the lowest camera and the gallery their images of the others. Raises InputError for a number out of range
    and an empty split.
    """
    if not 0 <= number < split_count(index):
        raise InputError(f"split {number}: {index.dataset} has splits 0 to {split_count(index) - 1}")
    if index.images[0].role:
        split = Split("fixed by the dataset", *(_with_role(index, role) for role in _ROLES))
    else:
        split = _half(index, number, seed)
    for role in _ROLES:
        if not getattr(split, role):
            raise InputError(f"{index.root}: split {number} ({split.origin}) has no {role} images; the "
                             f"dataset has {len(index.identities())} identities: add identities, or images "
                             "of that role")
    return split


def _with_role(index: Index, role: str) -> list[int]:
    return [place for place, image in enumerate(index.images) if image.role == role]


def _half(index: Index, number: int, seed: int) -> Split:
    if index.dataset in COMMITTED and not index.generated:
        path = COMMITTED[index.dataset]
        halves = json.loads(path.read_text())["splits"][number]
        origin = f"committed {path.name} #{number}"
    else:
        halves = draw(index.identities(), seed)[number]
        origin = f"drawn, seed {seed}, #{number}"
    train, test = set(halves["train"]), set(halves["test"])
    first = {}
    for image in index.images:
        first[image.identity] = min(image.camera, first.get(image.identity, image.camera))
    split = Split(origin, [], [], [])
    for place, image in enumerate(index.images):
        if image.identity in train:
            split.train.append(place)
        elif image.identity in test:
            (split.query if image.camera == first[image.identity] else split.gallery).append(place)
    return split
