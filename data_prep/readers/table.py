"""A user's own images, in a table: a CSV file with the columns path, identity, camera and, optionally, split.

Paths are relative to the CSV file's folder. `split` is train, query or gallery, in every row or in none.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from data_prep.index import Image, Index, camera_number, check_cameras
from data_prep.readers.dataset import Dataset
from reid.common.errors import InputError

ROLES = ("train", "query", "gallery")


def read(table: Path) -> Index:
    """Read a user's own CSV file; InputError names the line that is wrong."""
    if not table.is_file():
        raise InputError(f"{table}: there is no such file; for the dataset csv, --raw names a CSV file")
    with open(table, newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        try:
            _check_columns(table, rows.fieldnames or ())
            images = tuple(_image(f"{table}, line {rows.line_num}", row) for row in rows)
        except UnicodeDecodeError:
            raise InputError(f"{table}: is not UTF-8 text; save it as CSV UTF-8") from None
        except csv.Error as error:
            raise InputError(f"{table}, line {rows.line_num + 1}: {error}; is a quotation mark missing?"
                             ) from None
    if not images:
        raise InputError(f"{table}: no images in it")
    _check_paths(table, images)
    try:
        check_cameras(table.parent, images)
    except InputError as error:
        raise InputError(f"{error}; with a column split, it may be in the gallery, as a distractor") from None
    _check_roles(table, images)
    return Index(DATASET.name, table.parent, images, DATASET.protocol)


def _check_columns(table: Path, names: Sequence[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{table}: its first line names {twice[0]} twice; remove one of the columns")
    if not {"path", "identity", "camera"} <= set(names) <= {"path", "identity", "camera", "split"}:
        raise InputError(f"{table}: its first line must name the columns path,identity,camera or "
                         f"path,identity,camera,split; it names {','.join(names) or 'nothing'}")


def _image(where: str, row: dict) -> Image:
    if None in row or None in row.values() or not row["path"] or not row["identity"]:
        raise InputError(f"{where}: needs a value in every column")
    if "\0" in "".join(row.values()):
        raise InputError(f"{where}: holds a NUL character; the file is damaged")
    role = row.get("split")
    if role is not None and role not in ROLES:
        raise InputError(f"{where}: split {role!r} is not one of {', '.join(ROLES)}; fill it in every row, "
                         "or leave the column out")
    return Image(Path(row["path"]).as_posix(), row["identity"], camera_number(where, row["camera"]), role)


def _check_paths(table: Path, images: Iterable[Image]) -> None:
    seen = {}
    for image in images:
        other = seen.setdefault(image.path, image)
        if other.identity != image.identity:
            raise InputError(f"{table}: {image.path} is listed under two identities, {other.identity} and "
                             f"{image.identity}; remove the wrong line")
        if other is not image:
            raise InputError(f"{table}: {image.path} is listed twice; remove one of the lines")


def _check_roles(table: Path, images: Sequence[Image]) -> None:
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
