"""A user's own images, in a table: a CSV file with the columns path, identity, camera and, optionally, split.

Paths are relative to the CSV file's folder. `split` is train, query or gallery, in every row or in none.
"""

import csv
from pathlib import Path

from data_prep.index import Image, Index, check_cameras
from data_prep.readers.dataset import Dataset
from reid.common.errors import InputError

ROLES = ("train", "query", "gallery")


def read(table: Path) -> Index:
    """Read a user's own CSV file; InputError names the line that is wrong."""
    if not table.is_file():
        raise InputError(f"{table}: there is no such file; for the dataset csv, --raw names a CSV file")
    with open(table, newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        columns = set(rows.fieldnames or ())
        if not {"path", "identity", "camera"} <= columns <= {"path", "identity", "camera", "split"}:
            raise InputError(f"{table}: its first line must name the columns path,identity,camera or "
                             "path,identity,camera,split; it names "
                             f"{','.join(rows.fieldnames or ()) or 'nothing'}")
        images = tuple(_image(f"{table}, line {rows.line_num}", row) for row in rows)
    if not images:
        raise InputError(f"{table}: no images in it")
    _check_paths(table, images)
    check_cameras(table.parent, images)
    _check_roles(table, images)
    return Index(DATASET.name, table.parent, images, DATASET.protocol)


def _image(where: str, row: dict) -> Image:
    if None in row or None in row.values() or not row["path"] or not row["identity"]:
        raise InputError(f"{where}: needs a value in every column")
    if not row["camera"].isdecimal():
        raise InputError(f"{where}: camera {row['camera']!r} is not a whole number")
    role = row.get("split")
    if role is not None and role not in ROLES:
        raise InputError(f"{where}: split {role!r} is not one of {', '.join(ROLES)}; fill it in every row, "
                         "or leave the column out")
    return Image(Path(row["path"]).as_posix(), row["identity"], int(row["camera"]), role)


def _check_paths(table: Path, images) -> None:
    seen = {}
    for image in images:
        other = seen.setdefault(image.path, image)
        if other.identity != image.identity:
            raise InputError(f"{table}: {image.path} is listed under two identities, {other.identity} and "
                             f"{image.identity}; remove the wrong line")
        if other is not image:
            raise InputError(f"{table}: {image.path} is listed twice; remove one of the lines")


def _check_roles(table: Path, images) -> None:
    """Train and test identities must differ, and so must the cameras of query and gallery."""
    train = {image.identity for image in images if image.role == "train"}
    queries = {(image.identity, image.camera) for image in images if image.role == "query"}
    gallery = {image.identity for image in images if image.role == "gallery"}
    for image in images:
        where = f"{table}: {image.path}: identity {image.identity}"
        if image.role in ("query", "gallery") and image.identity in train:
            raise InputError(f"{where} is in {image.role} and in train; a tested identity must not train")
        if image.role == "gallery" and (image.identity, image.camera) in queries:
            raise InputError(f"{where} is query and gallery from the same camera, {image.camera}; the "
                             "gallery must show it from another camera")
        if image.role == "query" and image.identity not in gallery:
            raise InputError(f"{where} is a query but has no gallery image; add one from another camera")


DATASET = Dataset(name="csv", read=read)
