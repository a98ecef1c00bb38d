"""The checked index of a dataset: which image shows which identity from which camera."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from reid.common.errors import InputError
from reid.common.files import sha256_file
from reid.formats.picture import read_picture

JUNK, DISTRACTOR = "-1", "0000"
"""Market-1501's identities of boxes that do not count (junk), and of boxes that show nobody (distractors)."""


@dataclass(frozen=True)
class Image:
    """One image: `path` relative to the dataset's root with forward slashes, identity, camera number.

    `role` is "train", "query", "gallery" or "multi_query" where the dataset itself fixes it, else None.
    """
    path: str
    identity: str
    camera: int
    role: str | None = None


class Pixels(Protocol):
    """Where the pictures of an index are read from; paths are those of its images."""

    def picture(self, path: str) -> np.ndarray:
        """Return a picture, uint8 (H, W, 3) BGR; InputError where it cannot be read whole."""

    def checksum(self, path: str) -> str:
        """Return the SHA-256, in hexadecimal digits, that identifies the raw picture."""

    def file(self, path: str) -> bytes:
        """Return an image file of the picture: the dataset's own, or a PNG where it has none."""


@dataclass(frozen=True)
class Files:
    """Pictures that are files under a root."""
    root: Path

    def picture(self, path: str) -> np.ndarray:
        """Return the picture in a file."""
        return read_picture(self.root / path)

    def checksum(self, path: str) -> str:
        """Return the SHA-256 of a file."""
        try:
            return sha256_file(self.root / path)
        except OSError as error:
            raise InputError(f"{self.root / path}: cannot be read ({error.strerror}); restore it from the "
                             "dataset") from error

    def file(self, path: str) -> bytes:
        """Return the bytes of a file."""
        return (self.root / path).read_bytes()


@dataclass(frozen=True)
class Index:
    """A dataset as its reader found it. `generated` marks generated people, and so every later result.

    `variant`: which of the dataset's variants it is, None where there is one only. `test_sets`: the test
    identities of each split where the dataset brings its own. `source`: the pictures, None for files in root.
    `roles_from`: who gave the images their roles, where they have them.
    `tested`: how many of generated people each split tests, None for the real dataset's proportion.
    """
    dataset: str
    root: Path
    images: tuple[Image, ...]
    protocol: str
    generated: bool = False
    variant: str | None = None
    test_sets: tuple[tuple[str, ...], ...] = ()
    source: Pixels | None = None
    roles_from: str = "fixed by the dataset"
    tested: int | None = None

    @property
    def pixels(self) -> Pixels:
        """Where the pictures are read from."""
        return self.source or Files(self.root)

    def identities(self) -> list[str]:
        """Return the names of all identities, sorted; an identity's number is its place in this list."""
        return sorted({image.identity for image in self.images})


def camera_number(where: str | Path, text: str) -> int:
    """Return the number of a camera from its digits; InputError that begins with `where` for others."""
    if not text.isdecimal() or len(text) > 9:
        raise InputError(f"{where}: camera {text[:20]!r} is not a whole number of at most nine digits")
    return int(text)


def check_cameras(root: Path, images: Sequence[Image]) -> None:
    """Raise InputError where a training or query identity was seen by one camera only, or is called junk.

    Such an identity has no positive pair across cameras and no match to be found. Gallery images without a
    query (distractors) may come from one camera, and be junk.
    """
    shown = {image.identity for image in images if image.role in (None, "train", "query")}
    cameras = defaultdict(set)
    example = {}
    for image in images:
        cameras[image.identity].add(image.camera)
        example.setdefault(image.identity, image.path)
    if JUNK in shown:
        raise InputError(f"{Path(root) / example[JUNK]}: identity {JUNK} stands for boxes that do not count "
                         "(junk), which are nobody's match; give this person another name")
    alone = sorted(identity for identity in shown if len(cameras[identity]) < 2)
    if alone:
        first = alone[0]
        raise InputError(
            f"{Path(root) / example[first]}: identity {first} was seen by camera {min(cameras[first])} only"
            f"{f' ({len(alone)} such identities in all)' if len(alone) > 1 else ''}; "
            "every identity needs two cameras: add an image of another camera, or leave the identity out")


def check_shared(index: Index, checksums: Iterable[str]) -> None:
    """Raise InputError where one image file, by its bytes, is filed under two identities.

    `checksums` holds the SHA-256 of every image of the index, in its order.
    """
    seen = {}
    for image, checksum in zip(index.images, checksums):
        other = seen.setdefault(checksum, image)
        if other.identity != image.identity:
            raise InputError(
                f"{index.root / other.path} (identity {other.identity}) and {index.root / image.path} "
                f"(identity {image.identity}) are the same image, byte for byte; remove the wrong one")
