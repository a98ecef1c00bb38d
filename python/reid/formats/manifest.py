"""The manifest of a prepared folder, manifest.json: what went in, what came out, checksums of both."""

import hashlib
import json
from pathlib import Path

from reid.common.errors import InputError
from reid.common.files import write_whole

FORMAT = 1


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
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["format"]
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; write it with `python -m data_prep`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged; delete the folder and prepare the data again") from error
    if known != FORMAT:
        raise InputError(f"{path}: format {known}; this version reads format {FORMAT}: prepare the data "
                         "again")
    return manifest


def write(out: Path, manifest: dict) -> None:
    """Write OUT/manifest.json; it appears whole or not at all."""
    write_whole(Path(out) / "manifest.json", json.dumps(manifest, ensure_ascii=False) + "\n")


def split_checksum(manifest, name):
    """SHA-256 of what a data manifest says of one split and of the images, whatever other splits it has."""
    about = {**manifest, "splits": {name: manifest["splits"][name]}}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
