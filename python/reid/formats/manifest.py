"""The manifest of a prepared folder, manifest.json: what went in, what came out, checksums of both."""

import hashlib
import json
from pathlib import Path

from reid.common.errors import InputError
from reid.common.files import write_whole
from reid.formats import json_record

FORMAT = 1
REMEDY = "delete the folder and prepare the data again"
KEYS = ("format", "dataset", "generated", "protocol", "seed", "epochs", "schedule", "flip", "size",
        "identities", "images", "image_lmdb", "splits")    # and, where the dataset has variants, "variant"


def load_manifest(out: Path) -> dict:
    """Return OUT/manifest.json; InputError where it is missing, damaged, of another format or unfinished."""
    path = Path(out) / "manifest.json"
    manifest = read(path)
    if manifest["image_lmdb"] is None or not manifest["splits"]:
        raise InputError(f"{path}: the preparation was interrupted; run the same `python -m data_prep` again")
    return manifest


def read(path: Path) -> dict:
    """Return the manifest in a file; InputError where it is missing, damaged or of another format."""
    try:
        manifest = json_record.load(path, REMEDY)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; write it with `python -m data_prep`") from error
    if manifest.get("format", FORMAT) != FORMAT:
        raise InputError(f"{path}: format {manifest['format']}; this version reads format {FORMAT}: prepare "
                         "the data again")
    differing = set(KEYS) ^ (manifest.keys() - {"variant"})
    if differing:
        raise InputError(f"{path}: damaged: {', '.join(sorted(differing))} missing or unknown; {REMEDY}")
    return manifest


def write(out: Path, manifest: dict) -> None:
    """Write OUT/manifest.json; it appears whole or not at all."""
    text = json.dumps(json_record.signed(manifest), ensure_ascii=False) + "\n"
    write_whole(Path(out) / "manifest.json", text)


def split_checksum(manifest, name):
    """SHA-256 of what a data manifest says of one split and of the images, whatever other splits it has."""
    about = {**manifest, "splits": {name: manifest["splits"][name]}}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
