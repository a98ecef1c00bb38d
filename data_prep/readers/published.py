"""Comparing what was found with what a dataset's authors published."""

from collections.abc import Iterable
from pathlib import Path

from data_prep.index import Image
from reid.common.errors import InputError
from reid.formats.picture import read_picture


def check_names(root: Path, what: str, found: set[str], expected: set[str]) -> None:
    """Raise InputError where some of the expected names are missing, or others are there."""
    missing, strange = sorted(expected - found), sorted(found - expected)
    if missing or strange:
        raise InputError(f"{root}: {len(found)} {what}, {len(expected)} expected"
                         + _first("; missing", missing) + _first("; not of the dataset", strange)
                         + "; unpack the dataset again")


def check_counts(root: Path, found: dict[str, int], expected: dict[str, int]) -> None:
    """Raise InputError that lists every count, by its name, that is off, and by how much."""
    off = [f"{what}: {found[what]:,}, {count:,} expected ({_difference(found[what] - count)})"
           for what, count in expected.items() if found[what] != count]
    if off:
        raise InputError(f"{root}: {'; '.join(off)}; unpack the dataset again")


def check_sizes(root: Path, images: Iterable[Image], size: tuple[int, int]) -> None:
    """Read every image; raise InputError at the first that is not `size` = (width, height) pixels."""
    for image in images:
        height, width, _ = read_picture(root / image.path).shape
        if (width, height) != size:
            raise InputError(f"{root / image.path}: {width}×{height} pixels; the dataset's images are "
                             f"{size[0]}×{size[1]}: unpack the dataset again")


def _first(what: str, names: list[str]) -> str:
    """Return a phrase that lists the first ten names, nothing where there are none."""
    return f"{what} {', '.join(names[:10])}{' …' if len(names) > 10 else ''}" if names else ""


def _difference(number: int) -> str:
    return f"{number:,} too many" if number > 0 else f"{-number:,} missing"
