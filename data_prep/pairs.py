"""The pair schedule: which two images the siamese net sees together, and how each of them is augmented.

The paper (section III-C) shuffles the images, draws negatives from another class, starts with as many
positive as negative pairs and lets their ratio grow by 1 % an epoch up to 3:1. Five translated copies of
every training image (within ±5 % of height and width) are its augmentation; here they are stored as offsets,
not as pixels.
"""

import numpy as np

from reid.common.errors import InputError
from reid.common.rng import generator
from reid.formats.pair_lmdb import DIFFERENT, NOT_JUDGED, PAIR, SAME

TRANSLATIONS = 5
REACH = 12  # pixels: 5 % of 256, rounded down
CROP_REACH = 16  # pixels that the middle of a 224×224 crop of a 256×256 image can be away from the image's
_BLOCK = 1024  # images at a time: all possible translations of all of them at once would fill memory

RATIOS = {
    # The paper, literally: it grows by 1 % an epoch up to 3 (which 75 epochs do not reach: 1.01^75 = 2.1).
    "literal": lambda epoch: min(3.0, 1.01 ** epoch),
    # The public code of arXiv 1611.05666, on which the paper builds: 3:1 near epoch 70.
    "public": lambda epoch: min(5.0, 2 * 1.01 ** epoch) - 1,
}
"""Negatives per positive in an epoch (counted from 0), by the name of the schedule."""


def translations(images: int, seed: int, reach: int = REACH) -> np.ndarray:
    """Return the five different translations (dy, dx) of every image of an index, int8 (images, 5, 2).

    reach: pixels, of the largest in each direction.
    """
    side, rng = 2 * reach + 1, generator(seed, "translation")
    blocks = (rng.random((min(_BLOCK, images - first), side * side)) for first in range(0, images, _BLOCK))
    chosen = np.concatenate([keys.argpartition(TRANSLATIONS)[:, :TRANSLATIONS] for keys in blocks])
    return np.stack(np.divmod(chosen, side), axis=-1).astype(np.int8) - np.int8(reach)


class Partners:
    """Draws the second image of a pair among the training images.

    A positive partner is another source image of the same identity, from another camera where one exists; a
    negative one is uniform over the training images of all other identities.
    """

    def __init__(self, images: np.ndarray, identity: np.ndarray, camera: np.ndarray,
                 positives: str = "across", negatives: str = "images") -> None:
        """`images` (N,): places of the training images; `identity`, `camera` (N,): of those images.

        positives: "any" draws them from all cameras; negatives: "identities" draws another identity first,
        all alike, and then one of its images.
        """
        self.order = np.argsort(identity, kind="stable")
        self.images, ranked = images, identity[self.order]
        self.first = np.searchsorted(ranked, identity, "left")
        self.last = np.searchsorted(ranked, identity, "right")
        if len(images) and ranked[0] == ranked[-1]:
            raise InputError("only one identity trains, so no negative pair exists; add identities")
        self.across, self.by_identity = positives == "across", negatives == "identities"
        self.begins, self.group = np.unique(self.first, return_inverse=True)    # of each identity in `order`
        choices = [self._positives(place, camera) for place in range(len(images))]
        self.count = np.array([len(places) for places in choices])
        self.start = np.cumsum(self.count) - self.count
        self.flat = np.concatenate(choices)

    def _positives(self, place: int, camera: np.ndarray) -> np.ndarray:
        others = self.order[self.first[place]:self.last[place]]
        others = others[others != place]
        across = others[camera[others] != camera[place]]
        return across if self.across and len(across) else others

    def positive(self, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return one positive partner for each of `places` (into the training images)."""
        return self.flat[self.start[places] + rng.integers(0, self.count[places])]

    def negative(self, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return one negative partner for each of `places`: uniform, stepping over the own identity."""
        if self.by_identity:
            drawn = rng.integers(0, len(self.begins) - 1, len(places))
            drawn += drawn >= self.group[places]
            sizes = np.diff(self.begins, append=len(self.order))[drawn]
            return self.order[self.begins[drawn] + rng.integers(0, sizes)]
        first, last = self.first[places], self.last[places]
        drawn = rng.integers(0, len(self.images) - (last - first))
        return self.order[np.where(drawn < first, drawn, drawn + last - first)]


def train_epoch(partners: Partners, moves: np.ndarray, ratio: float, flip: bool, rng: np.random.Generator,
                anchors: str = "copies", mirror: str = "chance") -> np.ndarray:
    """Return the pairs of one training epoch, PAIR (5 N,), in the order in which they are trained.

    Each of the 5 N augmented images is the anchor `a` of exactly one pair. round(5 N / (1 + ratio)) pairs are
    positive; both the anchors and which of them are positive are shuffled. `moves`: what `translations`
    returns. With `flip`, each image of each pair is mirrored with probability one half.

    With `mirror` "both" an augmented image and its mirror image are two anchors, 10 N in all; with `anchors`
    "images" each of the N images is the anchor once, as one of its copies, drawn.
    """
    both = flip and mirror == "both"
    each = 1 if anchors == "images" else TRANSLATIONS * (1 + both)
    total = each * len(partners.images)
    anchor, copy = np.divmod(rng.permutation(total), each)
    if anchors == "images":
        copy = rng.integers(0, TRANSLATIONS * (1 + both), total)
    copy, mirrored = copy % TRANSLATIONS, copy // TRANSLATIONS
    positive = rng.permutation(total) < round(total / (1 + ratio))
    other = np.where(positive, partners.positive(anchor, rng), partners.negative(anchor, rng))
    pairs = np.zeros(total, PAIR)
    pairs["a"], pairs["b"] = partners.images[anchor], partners.images[other]
    pairs["same"] = np.where(positive, SAME, DIFFERENT)
    copies = {"a": copy, "b": rng.integers(0, TRANSLATIONS, total)}
    for side, chosen in copies.items():
        move = moves[pairs[side], chosen]
        pairs[f"{side}_dy"], pairs[f"{side}_dx"] = move[:, 0], move[:, 1]
        if flip:
            pairs[f"{side}_flip"] = mirrored if both and side == "a" else rng.integers(0, 2, total)
    return pairs


def held_out(partners: Partners, query: np.ndarray, gallery: np.ndarray, identity: np.ndarray,
             camera: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the held-out pairs, PAIR (4 Q,) for Q queries, on which the net is judged while it trains.

    Even rows judge the verification head: pairs of held-out identities, query and gallery, half of them the
    same identity and half different, in random order. Odd rows judge the identification heads: two views, as
    they are, of a training identity, `same` NOT_JUDGED. A held-out identity is no class of the identification
    heads, and pairs of training identities say nothing about the verification of new people. A match is by
    another camera than the query's. `identity`, `camera`: of every image of the index.
    """
    pairs = np.zeros(4 * len(query), PAIR)
    matches, strangers = _gallery_choices(query, gallery, identity, camera, rng)
    order = rng.permutation(2 * len(query))
    pairs["a"][0::2] = np.concatenate([query, query])[order]
    pairs["b"][0::2] = np.concatenate([matches, strangers])[order]
    pairs["same"][0::2] = np.repeat([SAME, DIFFERENT], len(query))[order]
    shown = np.resize(rng.permutation(len(partners.images)), 2 * len(query))
    pairs["a"][1::2] = partners.images[shown]
    pairs["b"][1::2] = partners.images[partners.positive(shown, rng)]
    pairs["same"][1::2] = NOT_JUDGED
    return pairs


def _gallery_choices(query: np.ndarray, gallery: np.ndarray, identity: np.ndarray, camera: np.ndarray,
                     rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each query, one gallery image of its identity and one of another."""
    matches, strangers = [], []
    shown, seen_by = identity[gallery], camera[gallery]
    for image in query:
        same = shown == identity[image]
        if same.all():
            raise InputError("only one identity is tested, so no held-out pair of different people exists; "
                             "add identities")
        matches.append(rng.choice(gallery[same & (seen_by != camera[image])]))
        strangers.append(rng.choice(gallery[~same]))
    return np.array(matches), np.array(strangers)
