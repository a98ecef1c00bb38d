"""From a raw dataset to what the net is trained from: an image LMDB, pair LMDBs and a manifest.

OUT/images/                     every source image once
OUT/split00/{train,test}/       pairs of split 0
OUT/manifest.json               what went in, what came out, checksums of both
OUT/images.log                  what image libraries remarked, where they did

The manifest is brought up to date after each step, so it never lists what is not whole, and a run that was
interrupted, or asked for other splits, resumes from what the folder holds.
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_prep import pairs as schedules
from data_prep.index import JUNK, Index, Pixels, check_shared
from data_prep.readers.registry import DATASETS, read
from data_prep.splits.load import Split, load_split, split_count
from data_prep.splits.validation import hold_out
from reid.common import lock
from reid.common.errors import InputError
from reid.common.files import sha256_file, whole_directory, write_whole
from reid.common.rng import generator
from reid.formats import json_record, manifest as manifests, picture
from reid.formats.image_lmdb import SIZE, write_images
from reid.formats.manifest import Database, Images, Manifest, PreparedSplit
from reid.formats.pair_lmdb import Meta, write_pairs

REMARKS = "images.log"
MOST_EPOCHS = 10_000    # of pairs: all of them are held in memory before they are written


def prepare(dataset: str, raw: Path, out: Path, splits: list[int] | str | None = None, seed: int = 0,
            epochs: int = 75, schedule: str = "literal", flip: bool | None = None,
            variant: str | None = None, readings: dict[str, str] | None = None,
            validation: int = 0, store: str | None = None, wait: bool = False) -> Manifest:
    """Prepare `splits` of a raw dataset into the folder `out`; return the manifest.

    `splits`: numbers, "all", or None for the dataset's own rule: see readers.dataset.
    `flip` and `variant` None take the dataset's own rule too. What is whole already is kept; a folder that
    was prepared from other images or with other settings is an InputError, as is everything that is wrong
    with the raw data. One process at a time works in `out`. `readings`: values of manifest.READINGS that are
    not the default; `validation`: how many training identities are tested in place of the dataset's own.
    `store`: one of manifest.STORES; None: as the folder is, a new one encoded. `wait`: until another process
    that works in `out` ends; else that is an InputError.
    """
    if not 1 <= epochs <= MOST_EPOCHS or not 0 <= seed <= json_record.MOST:
        raise InputError(f"epochs {epochs}, seed {seed}: give 1 to {MOST_EPOCHS:,} epochs and a seed from 0 "
                         f"to {json_record.MOST:,}")
    raw, out = Path(raw), Path(out)
    if raw.is_dir() and Path(os.path.realpath(out)).is_relative_to(os.path.realpath(raw)):
        raise InputError(f"{out}: lies inside --raw {raw}, of which every file is read; choose another --out")
    with lock.in_use(out, wait):
        index = read(dataset, raw, variant)
        if validation:
            index = hold_out(index, validation, seed)
        if splits is None:
            splits = [0] if DATASETS[dataset].first_only else "all"
        numbers = range(split_count(index)) if splits == "all" else splits
        resolved = {manifests.split_name(number): (number, load_split(index, number, seed))
                    for number in numbers}
        flip = DATASETS[dataset].flip if flip is None else flip
        inputs = _inputs(index, seed, epochs, schedule, flip)
        inputs.readings, inputs.validation = _readings(readings or {}, flip), validation
        manifest = _begin(out, inputs, store)
        if not _whole(out / "images", manifest.image_lmdb):
            _prepare_images(out, index, manifest)
        fixed = manifest.reading("copies") == "crops"
        moves = schedules.translations(len(index.images), seed,
                                       schedules.CROP_REACH if fixed else schedules.REACH)
        for name, (number, split) in tqdm(resolved.items(), "splits", disable=None):
            if not _split_whole(out, name, manifest):
                _prepare_split(out, name, number, split, moves, manifest)
    return manifest


def _inputs(index: Index, seed: int, epochs: int, schedule: str, flip: bool) -> Manifest:
    """Return the manifest of a folder in which nothing is prepared yet; it decides what may be kept."""
    identities = index.identities()
    number = {identity: place for place, identity in enumerate(identities)}
    checksums = [index.pixels.checksum(image.path)
                 for image in tqdm(index.images, "checksums", disable=None)]
    if not DATASETS[index.dataset].as_distributed:
        check_shared(index, checksums)
    images = Images(path=[image.path for image in index.images],
                    identity=[number[image.identity] for image in index.images],
                    camera=[image.camera for image in index.images], sha256=checksums)
    return Manifest(dataset=index.dataset, variant=index.variant, generated=index.generated,
                    protocol=index.protocol, seed=seed, epochs=epochs, schedule=schedule, flip=flip,
                    size=SIZE, identities=identities, images=images)


def _readings(given: dict[str, str], flip: bool) -> dict[str, str]:
    """Return those of the readings that are not the default; InputError for what cannot be meant."""
    manifests.check_readings(given)
    if given.get("mirror") == "both" and not flip:
        raise InputError("mirror both: nothing is mirrored here; give --flip too")
    return {key: value for key, value in given.items() if value != manifests.READINGS[key][0]}


def _begin(out: Path, inputs: Manifest, store: str | None) -> Manifest:
    """Return the manifest of `out`, a new one where the folder is empty; refuse one with other contents.

    store: None: as the folder is, a new one by the default.
    """
    path = out / manifests.NAME
    if not path.exists():
        # All that a kill can leave behind before there is a manifest is its beginning, and the lock.
        if any(entry.name not in (".manifest.json.partial", lock.NAME) for entry in out.iterdir()):
            raise InputError(f"{out}: not empty, and not written by data_prep; choose another --out")
        inputs.store = store or manifests.STORES[0]
        manifests.write(out, inputs)
        return inputs
    manifest = manifests.read(path)
    inputs.store = store or manifest.store
    for key in manifests.INPUTS:
        before, now = getattr(manifest, key), getattr(inputs, key)
        if before != now:
            what = f"other {key}" if isinstance(now, list | Images) else f"{key} {before}, not {now}"
            raise InputError(f"{out}: was prepared with {what}; choose another --out, or delete it")
    return manifest


def _facts(folder: Path) -> Database:
    file = folder / "data.mdb"
    return Database(sha256=sha256_file(file), bytes=file.stat().st_size)


def _whole(folder: Path, facts: Database | None) -> bool:
    """Say whether an LMDB that the manifest lists is still there, byte for byte."""
    file = folder / "data.mdb"
    return (facts is not None and file.is_file() and file.stat().st_size == facts.bytes
            and sha256_file(file) == facts.sha256)


def _split_whole(out: Path, name: str, manifest: Manifest) -> bool:
    entry = manifest.splits.get(name)
    return entry is not None and all(_whole(out / name / role, getattr(entry, f"{role}_pairs"))
                                     for role in ("train", "test"))


def _stored(pixels: Pixels, path: str, store: str) -> np.ndarray | bytes:
    """Return what write_images is given of an image, read and checked: its pixels, or its file.

    Pixels also in an encoded store where the file would cost more than it saves: it is larger than the raw
    planes, holds more pixels than is stored of it, or a library remarks on it each time it is read.
    """
    remarks = len(picture.remarks)
    image = pixels.picture(path)
    if store == "raw" or image.shape[0] * image.shape[1] > SIZE * SIZE or len(picture.remarks) > remarks:
        return image
    content = pixels.file(path)
    return content if len(content) < 3 * SIZE * SIZE else image


def _prepare_images(out: Path, index: Index, manifest: Manifest) -> None:
    picture.remarks.clear()
    pictures = (_stored(index.pixels, image.path, manifest.store)
                for image in tqdm(index.images, "images", disable=None))
    with whole_directory(out / "images") as folder:
        write_images(folder, pictures, manifest.images.identity)
        facts = _facts(folder)
    if picture.remarks:
        write_whole(out / REMARKS, "".join(f"{line}\n" for line in picture.remarks))
        print(f"note: libraries made {len(picture.remarks)} remarks on images, which are in {out / REMARKS}; "
              f"the first: {picture.remarks[0]}", file=sys.stderr)
    manifest.image_lmdb = facts
    manifests.write(out, manifest)


def _prepare_split(out: Path, name: str, number: int, split: Split, moves: np.ndarray,
                   manifest: Manifest) -> None:
    """Write one split's pair LMDBs and enter them into the manifest."""
    seed, epochs, schedule, flip = manifest.seed, manifest.epochs, manifest.schedule, manifest.flip
    identity, camera = map(np.array, (manifest.images.identity, manifest.images.camera))
    train = np.array(split.train)
    trained = np.unique(identity[train])
    labels = np.full(len(identity), -1, np.int32)
    labels[train] = np.searchsorted(trained, identity[train])
    partners = schedules.Partners(train, identity[train], camera[train], manifest.reading("positives"),
                                  manifest.reading("negatives"))
    training = [schedules.train_epoch(partners, moves, schedules.RATIOS[schedule](epoch), flip,
                                      generator(seed, "pairs", number, epoch), manifest.reading("anchors"),
                                      manifest.reading("mirror")) for epoch in range(epochs)]
    testing = schedules.held_out(partners, *_judges(split, manifest), identity, camera,
                                 generator(seed, "held out", number))
    about = dict(dataset=manifest.dataset, split=number, seed=seed, schedule=schedule, classes=len(trained),
                 images=len(identity))
    with whole_directory(out / name) as folder:
        for role, contents, mirrored in (("train", training, flip), ("test", [testing], False)):
            (folder / role).mkdir()
            meta = Meta(**about, role=role, epochs=len(contents), flip=mirrored,
                        fixed_windows=role == "train" and manifest.reading("copies") == "crops")
            write_pairs(folder / role, meta, labels, contents)
        facts = {f"{role}_pairs": _facts(folder / role) for role in ("train", "test")}
    manifest.splits[name] = PreparedSplit(classes=len(trained), **asdict(split), **facts)
    manifests.write(out, manifest)


def _judges(split: Split, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """Return the queries and the gallery on which the net is judged while it trains.

    Where identities are kept for validation it is they, by their lowest camera and by the others, so that the
    tested ones stay unseen. Junk may show anybody, and is in no pair.
    """
    identity, camera = map(np.array, (manifest.images.identity, manifest.images.camera))
    if not split.validation:
        junk = np.array([name == JUNK for name in manifest.identities])
        gallery = np.array(split.gallery)
        return np.array(split.query), gallery[~junk[identity[gallery]]]
    kept = np.array(split.validation)
    lowest = {person: camera[kept][identity[kept] == person].min() for person in np.unique(identity[kept])}
    searched = camera[kept] == np.array([lowest[person] for person in identity[kept]])
    return kept[searched], kept[~searched]
