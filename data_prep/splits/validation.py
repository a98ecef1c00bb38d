"""Training identities held out for validation, where a dataset itself fixes who trains and who is tested."""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from data_prep.index import Image, Index
from data_prep.splits.load import is_fixed
from reid.common.errors import InputError
from reid.common.rng import generator


def hold_out(index: Index, count: int, seed: int) -> Index:
    """Return the index of the training images alone, `count` of their identities as queries and gallery.

    The dataset's own test images are left out, so nothing that is tuned on it has seen them. As in
    Market-1501 a query is one image, drawn, of an identity and camera; all other images of these identities
    are the gallery. A camera that has one image of the identity has it in the gallery, unless all of them
    have one. There are no distractors, no junk and no multiple queries: the training images have none.
    Raises InputError for a dataset without roles of its own, and where nobody is left to train.
    """
    if not is_fixed(index):
        raise InputError(f"validation {count}: {index.dataset} does not fix who trains; --validation is for "
                         "datasets that do, as market1501")
    training = [image for image in index.images if image.role == "train"]
    people = sorted({image.identity for image in training})
    if not 2 <= count <= len(people) - 2:
        raise InputError(f"validation {count}: {index.dataset} has {len(people)} training identities; give "
                         f"from 2 to {len(people) - 2}")
    rng = generator(seed, "validation")
    held = {people[place] for place in rng.permutation(len(people))[:count]}
    queries = _queries([image for image in training if image.identity in held], rng)
    images = tuple(replace(image, role=_role(image, held, queries)) for image in training)
    return replace(index, images=images,
                   roles_from=f"{count} training identities held out for validation, seed {seed}")


def _queries(images: list[Image], rng: np.random.Generator) -> set[str]:
    """Return the paths of the queries among the images of the identities that are held out."""
    views = defaultdict(lambda: defaultdict(list))
    for image in images:
        views[image.identity][image.camera].append(image.path)
    chosen = set()
    for cameras in views.values():
        several = [paths for _, paths in sorted(cameras.items()) if len(paths) > 1]
        for paths in several or [cameras[min(cameras)]]:
            chosen.add(paths[rng.integers(len(paths))])
    return chosen


def _role(image: Image, held: set[str], queries: set[str]) -> str:
    return "train" if image.identity not in held else "query" if image.path in queries else "gallery"
