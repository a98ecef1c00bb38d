"""Prove what a prepared folder claims: `python -m data_prep.check DIR`.

Everything is read again and derived again from the manifest alone, without the code that wrote it. One line
is printed for each thing proved; the first that does not hold ends the check with exit status 1.
"""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from data_prep.index import JUNK
from data_prep.readers.registry import DATASETS
from reid.common.errors import InputError, Parser, command_line
from reid.common.files import checksum
from reid.formats.image_lmdb import ImageStore
from reid.formats.manifest import Manifest, PreparedSplit, load_manifest
from reid.formats.pair_lmdb import PairStore, ratio_of

_MAPPED = 512  # images; mapping the database anew after so many keeps what was read from counting as memory
_MOVES = 256 * 256  # room for every translation of an image, one byte an axis


class NotProved(Exception):
    """A claim that does not hold; the message names the file and the place."""


def check(out: Path, splits: Iterable[str] | None = None) -> Iterator[str]:
    """Yield a sentence for each claim of `out` that holds; raise NotProved at the first that does not.

    splits: the names of those to look at (None: all). Raises InputError where the folder is not a
    prepared one at all.
    """
    out, manifest = Path(out), load_manifest(out)
    names = sorted(manifest.splits if splits is None else splits)
    yield _checksums(out, manifest, names)
    yield _images(out, manifest)
    yield _names(out, manifest)
    for name in names:
        split = manifest.splits[name]
        classes = _classes(name, manifest, split)
        yield f"{name}: {split.origin}: {_people(name, manifest, split)}"
        yield f"{name}/train: {_training(out / name / 'train', manifest, split, classes)}"
        yield f"{name}/test: {_held_out(out / name / 'test', manifest, split, classes)}"


def prove(out: Path, splits: Iterable[str]) -> None:
    """Raise InputError where a claim of `out` and of its splits named `splits` does not hold."""
    try:
        for _ in check(out, splits):
            pass
    except NotProved as failure:
        raise InputError(f"{out}: {failure}; prepare the data again") from None


def _claim(holds: ArrayLike, where: Path | str, what: str) -> None:
    if not np.all(holds):
        raise NotProved(f"{where}: {what}")


def _checksums(out: Path, manifest: Manifest, names: list[str]) -> str:
    facts = {out / "images": manifest.image_lmdb}
    for name in names:
        split = manifest.splits[name]
        facts |= {out / name / "train": split.train_pairs, out / name / "test": split.test_pairs}
    for folder, fact in facts.items():
        file = folder / "data.mdb"
        _claim(file.is_file(), file, "missing")
        size = file.stat().st_size
        _claim(size == fact.bytes, file, f"{size} bytes, not {fact.bytes}")
        _claim(checksum(file) == fact.sha256, file, "its SHA-256 is not the manifest's")
    return f"{len(facts)} databases have the bytes and the SHA-256 of the manifest"


def _images(out: Path, manifest: Manifest) -> str:
    identity, count = manifest.images.identity, len(manifest.images.path)
    _claim(manifest.size == 256, out / "manifest.json", f"size is {manifest.size}, not 256")
    for first in range(0, count, _MAPPED):
        store = ImageStore(out / "images")
        _claim(len(store) == count, store.path, f"{len(store)} images, not {count}")
        places = range(first, min(first + _MAPPED, count))
        for place, (_, label) in zip(places, store.in_order(places)):
            _claim(label == identity[place], store.path,
                   f"image {place} has label {label}, not {identity[place]}")
    return f"{count} images of 256×256 pixels, labels 0 to {max(identity)} right"


def _names(out: Path, manifest: Manifest) -> str:
    """Count images under two identities, which one's own may not have, and prove the parts of large apart."""
    images, owners, sets = manifest.images, defaultdict(set), defaultdict(set)
    for path, number, sha256 in zip(images.path, images.identity, images.sha256):
        owners[sha256].add(number)
        sets[path.split("/")[0]].add(number)
    shared = sum(len(numbers) > 1 for numbers in owners.values())
    known = DATASETS.get(manifest.dataset)
    _claim(shared == 0 or (known and known.as_distributed), out, "two identities share an image")
    said = f"images under two identities: {shared or 'none'}"
    if manifest.dataset == "large":
        _claim(not sets["market1501"] & sets["cuhk03"], out, "the two datasets share an identity")
        said += "; no identity of Market-1501 is one of CUHK03"
    return said


def _people(name: str, manifest: Manifest, split: PreparedSplit) -> str:
    """Those who train, validate and are tested differ, and every query has a match by another camera."""
    view = list(zip(manifest.images.identity, manifest.images.camera))
    sides = {role: {view[place] for place in getattr(split, role)}
             for role in ("train", "validation", "query", "gallery", "multi_query")}
    people = {role: {number for number, _ in views} for role, views in sides.items()}
    tested = people["query"] | people["gallery"]
    _claim(not tested & people["train"], name, "an identity trains and is tested")
    _claim(not people["validation"] & (tested | people["train"]), name,
           "an identity is kept for validation and trains or is tested")
    cameras = defaultdict(set)
    for number, camera in sides["gallery"]:
        cameras[number].add(camera)
    _claim(people["query"] <= set(cameras), name, "a query has no match in the gallery")
    _claim(all(cameras[number] - {camera} for number, camera in sides["query"]), name,
           "a query has no match by another camera")
    if manifest.protocol == "single-shot":
        _claim(not sides["query"] & sides["gallery"], name, "a match is by the query's own camera")
    said = (f"{split.classes} identities train ({len(split.train)} images), "
            f"{len(people['query'])} others are tested ({len(split.query)} queries, gallery of "
            f"{len(split.gallery)}), each found by another camera")
    if sides["validation"]:
        said += (f"; {len(people['validation'])} more are kept for validation ({len(split.validation)} "
                 "images)")
    if sides["multi_query"]:
        _claim(sides["multi_query"] == sides["query"], name,
               "the multiple queries are not of the queries' identities and cameras")
        said += f"; {len(split.multi_query)} images make multiple queries of them"
    return said


def _classes(name: str, manifest: Manifest, split: PreparedSplit) -> np.ndarray:
    """Derive the class of every image: training identities in order, −1 for the others."""
    identity = manifest.images.identity
    order = {number: place for place, number in enumerate(sorted({identity[place] for place in split.train}))}
    _claim(len(order) == split.classes, name, f"{len(order)} training identities, not {split.classes}")
    trains = set(split.train)
    return np.array([order[number] if place in trains else -1 for place, number in enumerate(identity)])


def _training(folder: Path, manifest: Manifest, split: PreparedSplit, classes: np.ndarray) -> str:
    store = PairStore(folder)
    _claim(store.labels == classes, folder, "the labels are not the classes of the training identities")
    once = manifest.reading("anchors") == "images"
    each = 1 if once else 10 if manifest.reading("mirror") == "both" else 5
    _claim(store.meta.pairs_per_epoch == [each * len(split.train)] * manifest.epochs, folder,
           f"an epoch does not hold {each} pairs for each training image")
    _claim(store.meta.fixed_windows == (manifest.reading("copies") == "crops"), folder,
           "windows are fixed, and the manifest does not say so, or the other way round")
    shown = [_copies(store.epoch(epoch), "a") for epoch in range(manifest.epochs if once else 1)]
    copies = np.unique(np.concatenate(shown))
    places, moves = np.unique(copies // _MOVES, return_counts=True)
    _claim(places.tolist() == sorted(split.train), folder, "the anchors are not the training images")
    if once:    # a copy may not have been drawn yet
        partners = [_copies(store.epoch(epoch), "b") for epoch in range(manifest.epochs)]
        copies = np.unique(np.concatenate([copies, *partners]))
        _, moves = np.unique(copies // _MOVES, return_counts=True)
        _claim(moves <= 5, folder, "an image has more than 5 translations")
    else:
        _claim(moves == 5, folder, "an image has not 5 translations")
    across = _across(classes, np.array(manifest.images.camera))
    ratios = store.meta.ratio_per_epoch
    for epoch in range(manifest.epochs):
        pairs = store.epoch(epoch)
        _epoch(f"{folder}, epoch {epoch}", pairs, epoch, manifest, classes, copies, across)
        _claim(ratios[epoch] == ratio_of(pairs), folder, "its ratios are not those of its pairs")
    flips = "half of them mirrored" if manifest.flip else "none mirrored"
    other = "".join(f"; {key}: {value}" for key, value in manifest.readings.items())
    return (f"{store.total} pairs in {len(ratios)} epochs; every {'' if once else 'augmented '}image is the "
            "anchor once an epoch; no self pairs; positives and negatives right; negatives per positive "
            f"{ratios[0]:.3f} to {ratios[-1]:.3f} ({manifest.schedule}); 5 translations an image within "
            f"±{_reach(manifest)} pixels, {flips}{other}")


def _reach(manifest: Manifest) -> int:
    """Pixels of a translation: 5 % of 256, or what a 224×224 crop of it can be moved."""
    return 16 if manifest.reading("copies") == "crops" else 12


def _copies(pairs: np.ndarray, side: str) -> np.ndarray:
    """Return a number for each pair that stands for the image on a side, "a" or "b", and its translation."""
    move = pairs[f"{side}_dy"].astype(np.int64) * 256 + pairs[f"{side}_dx"]
    return pairs[side] * np.int64(_MOVES) + (move + _MOVES // 2)


def _across(classes: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Say of every image whether its identity trains and was seen by two cameras."""
    seen = defaultdict(set)
    for number, lens in zip(classes.tolist(), camera.tolist()):
        seen[number].add(lens)
    return np.array([number >= 0 and len(seen[number]) > 1 for number in classes.tolist()])


def _epoch(where: str, pairs: np.ndarray, epoch: int, manifest: Manifest, classes: np.ndarray,
           copies: np.ndarray, across: np.ndarray) -> None:
    a, b, same = pairs["a"], pairs["b"], pairs["same"]
    if manifest.reading("anchors") == "images":
        _claim(np.sort(a) == np.sort(np.unique(copies // _MOVES)), where, "an image is not the anchor once")
    elif manifest.reading("mirror") == "both":
        both = 2 * _copies(pairs, "a") + pairs["a_flip"]
        _claim(np.array_equal(np.sort(both), np.sort(np.concatenate([2 * copies, 2 * copies + 1]))), where,
               "an augmented image and its mirror image are not the anchors of one pair each")
    else:
        _claim(np.array_equal(np.sort(_copies(pairs, "a")), copies), where,
               "an augmented image is not the anchor of exactly one pair")
    _claim(a != b, where, "an image is paired with itself")
    _claim((classes[a] >= 0) & (classes[b] >= 0), where, "an image that does not train is in a pair")
    _claim(np.isin(same, (0, 1)), where, "a training pair is neither the same nor different")
    _claim((classes[a] == classes[b]) == (same == 0), where, "`same` contradicts the identities")
    camera = np.array(manifest.images.camera)
    if manifest.reading("positives") == "across":
        _claim((camera[a] != camera[b])[(same == 0) & across[a]], where,
               "a positive pair is of one camera though the identity has two")
    ratio = min(3, 1.01 ** epoch) if manifest.schedule == "literal" else min(5, 2 * 1.01 ** epoch) - 1
    positives = int(np.sum(same == 0))
    _claim(positives == round(len(pairs) / (1 + ratio)), where,
           f"{positives} of {len(pairs)} pairs are positive, which is not 1 to {ratio:.3f}")
    reach = max(int(np.abs(pairs[f"{side}_{axis}"]).max()) for side in "ab" for axis in ("dy", "dx"))
    _claim(reach <= _reach(manifest), where, f"a translation of {reach} pixels")
    _claim(np.isin(_copies(pairs, "b"), copies), where, "b has a translation of its own")
    _flips(where, pairs, manifest.flip)


def _flips(where: str, pairs: np.ndarray, flip: bool) -> None:
    """Mirrored half of the time, to within six standard deviations of a fair coin, or never."""
    flips = np.concatenate([pairs["a_flip"], pairs["b_flip"]])
    _claim(flips <= 1, where, "a flip is neither 0 nor 1")
    if flip:
        share = flips.mean()
        _claim(abs(share - .5) <= 6 * .5 / np.sqrt(len(flips)), where, f"{share:.0%} are mirrored")
    else:
        _claim(flips == 0, where, "an image is mirrored")


def _held_out(folder: Path, manifest: Manifest, split: PreparedSplit, classes: np.ndarray) -> str:
    store = PairStore(folder)
    _claim(store.labels == classes, folder, "the labels are not the classes of the training identities")
    pairs = store.epoch(0)
    identity, camera = map(np.array, (manifest.images.identity, manifest.images.camera))
    query, gallery = _judges(manifest, split, identity, camera)
    judged, shown = pairs[0::2], pairs[1::2]
    for field in ("a_dy", "a_dx", "b_dy", "b_dx", "a_flip", "b_flip"):
        _claim(pairs[field] == 0, folder, f"a held-out pair has {field} set")
    _claim(pairs["a"] != pairs["b"], folder, "an image is paired with itself")
    _claim(np.isin(judged["a"], query) & np.isin(judged["b"], gallery), folder,
           "an even row is not a query and a gallery image")
    _claim((identity[judged["a"]] == identity[judged["b"]]) == (judged["same"] == 0), folder,
           "`same` contradicts the identities")
    _claim((camera[judged["a"]] != camera[judged["b"]])[judged["same"] == 0], folder,
           "a match is by the query's own camera")
    for same in (0, 1):
        _claim(np.array_equal(np.sort(judged["a"][judged["same"] == same]), np.sort(query)), folder,
               "not one same and one different pair for each query")
    first, second = classes[shown["a"]], classes[shown["b"]]
    _claim((first >= 0) & (first == second) & (shown["same"] == -1), folder,
           "an odd row is not two views of a training identity")
    who = "people kept for validation" if split.validation else "held-out people"
    return (f"{len(judged)} pairs of {who}, half the same, and {len(shown)} of training people for "
            "the identification heads; none translated or mirrored")


def _judges(manifest: Manifest, split: PreparedSplit, identity: np.ndarray,
            camera: np.ndarray) -> tuple[list, list]:
    """Derive who judges the net: those kept for validation if any, else the tested; never junk."""
    if not split.validation:
        return split.query, [place for place in split.gallery
                                if manifest.identities[identity[place]] != JUNK]
    lowest = {}
    for place in split.validation:
        lowest[identity[place]] = min(camera[place], lowest.get(identity[place], camera[place]))
    first = [place for place in split.validation if camera[place] == lowest[identity[place]]]
    return first, sorted(set(split.validation) - set(first))


@command_line
def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m data_prep.check", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder that `python -m data_prep` wrote")
    try:
        for proved in check(parser.parse_args(arguments).folder):
            print(proved, flush=True)
    except NotProved as failure:
        print(f"not proved: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
