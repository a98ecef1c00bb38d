"""The checks before Caffe is started: Caffe aborts the whole process where something does not fit.

What cannot work is an InputError. All other findings are a table of Rows. A Row may be a surprise: it works,
but may not be what was meant.
"""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reid.common.errors import InputError
from reid.common.files import checksum, is_utf_8
from reid.formats.manifest import Manifest, PreparedSplit
from reid.formats.pair_lmdb import PairStore
from reid.nets import fit
from reid.nets.backbones.registry import BACKBONES
from reid.nets.fit import Blobs, Shapes
from reid.provenance.origin import Origin

if TYPE_CHECKING:    # which imports this file
    from reid.stages.stage import Job

IDENTIFICATION, VERIFICATION = ("id_fc_a", "id_fc_b"), "verif_fc"
FLOAT = 4    # bytes


@dataclass(frozen=True)
class Row:
    """A line of the table: what was checked, what was found, and whether that is a surprise."""
    what: str
    found: str
    surprise: bool = False


def table(rows: Sequence[Row]) -> list[str]:
    """The Rows as lines."""
    width = max(len(row.what) for row in rows)
    return [f"{row.what:{width}}  {'SURPRISE: ' if row.surprise else ''}{row.found}" for row in rows]


def refuse_surprises(where: str, rows: Sequence[Row]) -> None:
    """InputError that lists the surprises, where there are any."""
    found = [f"{row.what}: {row.found}" for row in rows if row.surprise]
    if found:
        raise InputError(f"{where}: --strict refuses {'; '.join(found)}")


def check_paths(*folders: Path | str) -> None:
    """InputError for a folder whose name is not UTF-8: Caffe's nets hold the paths of what they read."""
    for folder in map(Path, folders):
        if not is_utf_8(str(folder.absolute())):
            raise InputError(f"{ascii(str(folder))}: its name is not UTF-8, as Caffe's nets need it; rename "
                             "the folder")


def check_stage_name(name: str, manifest: Manifest, datasets: Collection[str]) -> None:
    """InputError where a stage has the name of a dataset, one of `datasets`, and its data are of another."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"stage {name!r}: use letters, digits, - and _ (it names a folder)")
    if name in datasets and name != manifest.dataset:
        raise InputError(f"stage {name}: --data holds {manifest.dataset}; give the folder that was "
                         f"prepared from {name}, or give the stage a name of your own")


def check_split(data: Path, name: str, manifest: Manifest) -> None:
    """InputError where a split is not prepared, or the bytes of its LMDBs are not those of the manifest."""
    if name not in manifest.splits:
        raise InputError(f"{data}: {name} is not prepared; there are {', '.join(sorted(manifest.splits))}")
    entry = manifest.splits[name]
    for folder, facts in ((data / "images", manifest.image_lmdb),
                          (data / name / "train", entry.train_pairs),
                          (data / name / "test", entry.test_pairs)):
        file = folder / "data.mdb"
        size = file.stat().st_size if file.is_file() else None
        if size != facts.bytes:
            raise InputError(f"{file}: {'missing' if size is None else f'{size} bytes'}, and the manifest "
                             f"says {facts.bytes} bytes; prepare the data again")
        if checksum(file) != facts.sha256:
            raise InputError(f"{file}: sha256 is {checksum(file)}, and the manifest says {facts.sha256}: "
                             "changed since it was prepared; prepare the data again")


def check_classes(pairs: PairStore, entry: PreparedSplit) -> None:
    """InputError where a pair LMDB has other classes than the manifest: a label might not fit the head."""
    if pairs.meta.classes != entry.classes or pairs.labels.max() >= entry.classes:
        raise InputError(f"{pairs.path}: holds {pairs.meta.classes} classes, labels up to "
                         f"{pairs.labels.max()}, and the manifest says {entry.classes} classes; prepare "
                         "the data again")


def check_base(origin: Origin | None, base: str) -> None:
    """InputError where weights are of another backbone: not every difference shows in the shapes."""
    if origin and origin.base not in (None, base):
        raise InputError(f"{origin.file}: weights of base {origin.base} ({origin.describe()}), not of "
                         f"{base}; give --base {origin.base}, or other weights")


def check_start(job: "Job") -> None:
    """InputError where a Job from random weights has no statistics for BatchNorm; its batches have them."""
    if job.blank and job.settings.batch_norm == "stored":
        raise InputError(f"{job.base} normalises by statistics that come with its weights: give --init FILE, "
                         "or train it from random weights by those of each batch with --set batch_norm=batch")
    if job.blank and job.settings.epochs == 0:
        raise InputError(f"{job.base} from random weights has no statistics to normalise by, and with epochs "
                         "0 it gathers none: give --init FILE, or train it")


def weights_rows(wanted: Shapes, layers: Blobs, base: str) -> list[Row]:
    """Rows that say which of a file's `layers` are loaded into the backbone `wanted`, which are ignored."""
    known = {*IDENTIFICATION, VERIFICATION, BACKBONES[base].classifier, *(f"{name}_b" for name in wanted),
             *fit.backbone(base)}    # an earlier feature leaves the backbone's last layers out
    unused = [name for name in layers if name not in wanted]
    foreign = [name for name in unused if name not in known]
    left = grouped([name for name in unused if name in known])
    left += " (heads and classifiers)" if unused else ""
    loaded = [name for name, shapes in wanted.items() if shapes]
    return [Row("loads", grouped(loaded)), Row("shapes", "as in the net, no difference"),
            Row("unused", f"{grouped(foreign)} (of no known head or classifier)" if foreign else left,
                bool(foreign))]


def grouped(names: Sequence[str]) -> str:
    """Names of layers, shortened where there are many: "161 layers, conv1 … res5c_branch2c"."""
    if len(names) > 4:
        return f"{len(names)} layers, {names[0]} … {names[-1]}"
    return ", ".join(names) or "none"


def mean_row(mean: Sequence[float], expected: Sequence[float] | None, whose: str | None) -> Row:
    """Whether the mean is the one that the weights were trained with, `expected` (None: unknown)."""
    shown = " ".join(f"{value:g}" for value in mean)
    if expected is None:
        return Row("mean", f"{shown}; nothing says what the weights were trained with")
    if np.allclose(mean, expected, atol=1e-3):
        return Row("mean", f"{shown}, that of {whose}")
    return Row("mean", f"{shown}, and {whose} had {' '.join(f'{value:g}' for value in expected)}", True)


def snapshot_bytes(wanted: Shapes) -> int:
    """About how many bytes a snapshot takes: weights and momentum of parameters {layer: [shape, …]}."""
    return 2 * FLOAT * sum(int(np.prod(one)) for shapes in wanted.values() for one in shapes)


def space_row(folder: Path, needed: int) -> Row:
    """InputError where the disk of `folder` (it need not exist yet) has not `needed` bytes for snapshots."""
    there = next(path for path in (Path(folder), *Path(folder).parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise InputError(f"{folder}: {free / 1e6:.0f} MB free; the snapshots need {needed / 1e6:.0f} MB: "
                         "make room, or set keep_snapshots lower")
    return Row("disk", f"{needed / 1e6:.0f} MB for the snapshots, {free / 1e6:.0f} MB free")
