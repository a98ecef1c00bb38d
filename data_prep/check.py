"""Prove what a prepared folder claims: `python -m data_prep.check DIR`.

Everything is read again and derived again from the manifest alone, without the code that wrote it. One line
is printed for each thing proved; the first that does not hold ends the check with exit status 1.
"""

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from data_prep.errors import command_line
from data_prep.files import sha256_file
from data_prep.prepare import load_manifest
from data_prep.store import ImageStore, PairStore


class NotProved(Exception):
    """A claim that does not hold; the message names the file and the place."""


def check(out: Path):
    """Yield a sentence for each claim of `out` that holds; raise NotProved at the first that does not.

    Raises InputError where the folder is not a prepared one at all.
    """
    out, manifest = Path(out), load_manifest(out)
    yield _checksums(out, manifest)
    yield _images(out, manifest)
    for name in sorted(manifest["splits"]):
        split = manifest["splits"][name]
        classes = _classes(name, manifest, split)
        yield f"{name}: {split['origin']}: {_people(name, manifest, split)}"
        yield f"{name}/train: {_training(out / name / 'train', manifest, split, classes)}"
        yield f"{name}/test: {_held_out(out / name / 'test', manifest, split, classes)}"


def _claim(holds, where, what: str) -> None:
    if not np.all(holds):
        raise NotProved(f"{where}: {what}")


def _checksums(out: Path, manifest: dict) -> str:
    facts = {out / "images": manifest["image_lmdb"]}
    for name, split in manifest["splits"].items():
        facts |= {out / name / role: split[f"{role}_pairs"] for role in ("train", "test")}
    for folder, fact in facts.items():
        file = folder / "data.mdb"
        _claim(file.is_file(), file, "missing")
        size = file.stat().st_size
        _claim(size == fact["bytes"], file, f"{size} bytes, not {fact['bytes']}")
        _claim(sha256_file(file) == fact["sha256"], file, "its SHA-256 is not the manifest's")
    return f"{len(facts)} databases have the bytes and the SHA-256 of the manifest"


def _images(out: Path, manifest: dict) -> str:
    identity, count = manifest["images"]["identity"], len(manifest["images"]["path"])
    store = ImageStore(out / "images")
    _claim(len(store) == count, store.path, f"{len(store)} images, not {count}")
    for place in range(count):
        label = store.get(place)[1]
        _claim(label == identity[place], store.path,
               f"image {place} has label {label}, not {identity[place]}")
    owners = defaultdict(set)
    for number, checksum in zip(identity, manifest["images"]["sha256"]):
        owners[checksum].add(number)
    _claim(all(len(numbers) == 1 for numbers in owners.values()), out, "two identities share an image")
    return (f"{count} images of 256×256 pixels, labels 0 to {max(identity)} right, "
            "no image under two identities")


def _people(name: str, manifest: dict, split: dict) -> str:
    """Train and test identities differ, and every query has a match, by another camera only."""
    view = list(zip(manifest["images"]["identity"], manifest["images"]["camera"]))
    sides = {role: {view[place] for place in split[role]} for role in ("train", "query", "gallery")}
    tested = {number for number, _ in sides["query"] | sides["gallery"]}
    searched = {number for number, _ in sides["query"]}
    _claim(not tested & {number for number, _ in sides["train"]}, name, "an identity trains and is tested")
    _claim(searched <= {number for number, _ in sides["gallery"]}, name,
           "a query has no match in the gallery")
    _claim(not sides["query"] & sides["gallery"], name, "a match is by the query's own camera")
    return (f"{split['classes']} identities train ({len(split['train'])} images), {len(searched)} others are "
            f"tested ({len(split['query'])} queries, gallery of {len(split['gallery'])}), each found by "
            "another camera")


def _classes(name: str, manifest: dict, split: dict) -> np.ndarray:
    """Derive the class of every image: training identities in order, −1 for the others."""
    identity = manifest["images"]["identity"]
    order = sorted({identity[place] for place in split["train"]})
    _claim(len(order) == split["classes"], name, f"{len(order)} training identities, not {split['classes']}")
    trains = set(split["train"])
    return np.array([order.index(number) if place in trains else -1 for place, number in enumerate(identity)])


def _training(folder: Path, manifest: dict, split: dict, classes: np.ndarray) -> str:
    store = PairStore(folder)
    _claim(store.labels == classes, folder, "the labels are not the classes of the training identities")
    _claim(store.meta["pairs_per_epoch"] == [5 * len(split["train"])] * manifest["epochs"], folder,
           "an epoch does not hold five pairs for each training image")
    copies = _copies(store.epoch(0))
    _claim(sorted(copies) == sorted(split["train"]), folder, "the anchors are not the training images")
    for place, moves in copies.items():
        _claim(len(moves) == 5, folder, f"image {place} has {len(moves)} translations, not 5")
    for epoch in range(manifest["epochs"]):
        _epoch(f"{folder}, epoch {epoch}", store.epoch(epoch), epoch, manifest, classes, copies)
    ratios = store.meta["ratio_per_epoch"]
    flips = "half of them mirrored" if manifest["flip"] else "none mirrored"
    return (f"{store.total} pairs in {len(ratios)} epochs; every augmented image is the anchor once an "
            "epoch; no self pairs; positives and negatives right; negatives per positive "
            f"{ratios[0]:.3f} to {ratios[-1]:.3f} ({manifest['schedule']}); 5 translations an image within "
            f"±12 pixels, {flips}")


def _copies(pairs: np.ndarray) -> dict[int, set]:
    """Return the translations under which each image is an anchor."""
    copies = defaultdict(set)
    for place, dy, dx in zip(pairs["a"].tolist(), pairs["a_dy"].tolist(), pairs["a_dx"].tolist()):
        copies[place].add((dy, dx))
    return copies


def _epoch(where: str, pairs: np.ndarray, epoch: int, manifest: dict, classes: np.ndarray,
           copies: dict) -> None:
    a, b, same = pairs["a"], pairs["b"], pairs["same"]
    _claim(_copies(pairs) == copies, where, "an augmented image is not the anchor of exactly one pair")
    _claim(a != b, where, "an image is paired with itself")
    _claim((classes[a] >= 0) & (classes[b] >= 0), where, "an image that does not train is in a pair")
    _claim(np.isin(same, (0, 1)), where, "a training pair is neither the same nor different")
    _claim((classes[a] == classes[b]) == (same == 0), where, "`same` contradicts the identities")
    camera = np.array(manifest["images"]["camera"])
    seen = defaultdict(set)
    for number, lens in zip(classes.tolist(), camera.tolist()):
        seen[number].add(lens)
    across = np.array([len(seen[number]) > 1 for number in classes.tolist()])
    _claim((camera[a] != camera[b])[(same == 0) & across[a]], where,
           "a positive pair is of one camera though the identity has two")
    ratio = min(3, 1.01 ** epoch) if manifest["schedule"] == "literal" else min(5, 2 * 1.01 ** epoch) - 1
    positives = int(np.sum(same == 0))
    _claim(positives == round(len(pairs) / (1 + ratio)), where,
           f"{positives} of {len(pairs)} pairs are positive, which is not 1 to {ratio:.3f}")
    reach = max(int(np.abs(pairs[f"{side}_{axis}"]).max()) for side in "ab" for axis in ("dy", "dx"))
    _claim(reach <= 12, where, f"a translation of {reach} pixels")
    moves = zip(b.tolist(), pairs["b_dy"].tolist(), pairs["b_dx"].tolist())
    _claim(all((dy, dx) in copies[place] for place, dy, dx in moves), where, "b has a translation of its own")
    _flips(where, pairs, manifest["flip"])


def _flips(where: str, pairs: np.ndarray, flip: bool) -> None:
    """Mirrored half of the time, to within six standard deviations of a fair coin, or never."""
    flips = np.concatenate([pairs["a_flip"], pairs["b_flip"]])
    _claim(flips <= 1, where, "a flip is neither 0 nor 1")
    if flip:
        share = flips.mean()
        _claim(abs(share - .5) <= 6 * .5 / np.sqrt(len(flips)), where, f"{share:.0%} are mirrored")
    else:
        _claim(flips == 0, where, "an image is mirrored")


def _held_out(folder: Path, manifest: dict, split: dict, classes: np.ndarray) -> str:
    store = PairStore(folder)
    _claim(store.labels == classes, folder, "the labels are not the classes of the training identities")
    pairs = store.epoch(0)
    identity = np.array(manifest["images"]["identity"])
    judged, shown = pairs[0::2], pairs[1::2]
    for field in ("a_dy", "a_dx", "b_dy", "b_dx", "a_flip", "b_flip"):
        _claim(pairs[field] == 0, folder, f"a held-out pair has {field} set")
    _claim(pairs["a"] != pairs["b"], folder, "an image is paired with itself")
    _claim(np.isin(judged["a"], split["query"]) & np.isin(judged["b"], split["gallery"]), folder,
           "an even row is not a query and a gallery image")
    _claim((identity[judged["a"]] == identity[judged["b"]]) == (judged["same"] == 0), folder,
           "`same` contradicts the identities")
    _claim(Counter(judged["same"].tolist()) == {0: len(split["query"]), 1: len(split["query"])}, folder,
           "not one same and one different pair for each query")
    first, second = classes[shown["a"]], classes[shown["b"]]
    _claim((first >= 0) & (first == second) & (shown["same"] == -1), folder,
           "an odd row is not two views of a training identity")
    return (f"{len(judged)} pairs of held-out people, half the same, and {len(shown)} of training people for "
            "the identification heads; none translated or mirrored")


@command_line
def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m data_prep.check", description=__doc__.splitlines()[0])
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
