"""What is looked at before Caffe sees anything: Caffe aborts the whole process where something does not fit."""

import shutil

import numpy as np

from data_prep.errors import InputError
from reid.training.caffemodel import fits, read_caffemodel, shape, values
from reid.training.snapshots import bytes_of_one

PAPERS = ("viper", "cuhk01", "cuhk03", "market1501", "large")


def check_stage(name, manifest):
    """A stage of the paper is trained on its own dataset; any other name is free for data of one's own."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"stage {name!r}: use letters, digits, - and _ (it names a folder)")
    if name in PAPERS and name != manifest["dataset"]:
        raise InputError(f"stage {name}: --data holds {manifest['dataset']}; give the folder that was prepared "
                         f"from {name}, or give the stage a name of your own")
    if manifest["protocol"] != "single-shot":
        raise InputError(f"stage {name}: the protocol of its data is {manifest['protocol']}; "
                         "only single-shot evaluation is there so far")


def check_split(data, name, manifest):
    """The split is prepared, and its LMDBs have the sizes that the manifest says."""
    if name not in manifest["splits"]:
        raise InputError(f"{data}: {name} is not prepared; there are {', '.join(sorted(manifest['splits']))}")
    entry = manifest["splits"][name]
    for folder, facts in ((data / "images", manifest["image_lmdb"]), (data / name / "train", entry["train_pairs"]),
                          (data / name / "test", entry["test_pairs"])):
        file = folder / "data.mdb"
        size = file.stat().st_size if file.is_file() else None
        if size != facts["bytes"]:
            raise InputError(f"{file}: {'missing' if size is None else f'{size} bytes'}, and the manifest says "
                             f"{facts['bytes']} bytes; prepare the data again")


def check_classes(pairs, entry):
    """A pair LMDB (PairStore) has the classes of the manifest's entry, so that no label lies past the head's end."""
    if pairs.meta["classes"] != entry["classes"] or pairs.labels.max() >= entry["classes"]:
        raise InputError(f"{pairs.path}: holds {pairs.meta['classes']} classes, labels up to {pairs.labels.max()}, and "
                         f"the manifest says {entry['classes']} classes; prepare the data again")


def check_weights(path, net, base):
    """A caffemodel holds every layer of the deploy net `net`, in its shapes and finite. Other layers are no matter."""
    if path is None:
        if any(layer.type == "BatchNorm" for layer in net.layers):
            raise InputError(f"{base} normalises by statistics that come with its weights: give --init FILE")
        return
    layers = read_caffemodel(path)
    missing = [name for name in net.params if name not in layers]
    if missing:
        raise InputError(f"{path}: lacks {len(missing)} of the {len(net.params)} layers of {base} "
                         f"({', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}); these are other weights")
    for name, blobs in net.params.items():
        found, wanted = layers[name], [tuple(blob.shape) for blob in blobs]
        if len(found) != len(wanted) or not all(map(fits, found, wanted)):
            raise InputError(f"{path}: layer {name} has shapes {[shape(blob) for blob in found]}, and {base} at this "
                             f"input size needs {wanted}")
        if not all(np.isfinite(values(blob)).all() for blob in found):
            raise InputError(f"{path}: layer {name} holds NaN or infinity: the training that wrote it had diverged")


def check_space(folder, net, settings, runs):
    """The disk has room for the snapshots of `runs` runs of a trunk `net`, one of them twice while it is written."""
    needed = (runs * settings.keep_snapshots + 2) * bytes_of_one(net)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{folder}: {free / 1e6:.0f} MB free; the snapshots need {needed / 1e6:.0f} MB: make room, or "
                         "set keep_snapshots lower")


def check_memory(net, settings):
    """The blobs of a training pass of the trunk `net`, values and gradients, fit into memory.

    Caffe takes it bit by bit until the kernel kills the process.
    """
    per_image = sum(blob.count for blob in net.blobs.values()) / net.blobs["data"].shape[0]
    needed = 2 * settings.batch * per_image * 2 * np.dtype(np.float32).itemsize
    with open("/proc/meminfo") as file:
        free = 1024 * next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    if needed > free:
        raise InputError(f"batch is {settings.batch}: a pass needs at least {needed / 1e9:.1f} GB of memory, and "
                         f"{free / 1e9:.1f} GB are free; set batch lower, and iter_size higher to make up for it")
