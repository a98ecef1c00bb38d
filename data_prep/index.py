"""The checked index of a dataset: which image shows which identity from which camera."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import InputError


@dataclass(frozen=True)
class Image:
    """One image: `path` relative to the dataset's root with forward slashes, identity, camera number.

    `role` is "train", "query" or "gallery" where the dataset itself fixes it, else None.
    """
    path: str
    identity: str
    camera: int
    role: str | None = None


@dataclass(frozen=True)
class Index:
    """A dataset as its reader found it. `generated` marks generated people, and so every later result."""
    dataset: str
    root: Path
    images: tuple[Image, ...]
    protocol: str
    generated: bool = False

    def identities(self) -> list[str]:
        """Return the names of all identities, sorted; an identity's number is its place in this list."""
        return sorted({image.identity for image in self.images})


def check_cameras(root: Path, images) -> None:
    """Raise InputError where an identity that trains or is searched for was seen by one camera only.

    Such an identity has no positive pair across cameras and no match to be found. Gallery images without a
    query (distractors) may come from one camera.
    """
    searched = [image for image in images if image.role in (None, "train", "query")]
    shown = {image.identity for image in searched}
    cameras = defaultdict(set)
    example = {}
    for image in images:
        cameras[image.identity].add(image.camera)
        example.setdefault(image.identity, image.path)
    alone = sorted(identity for identity in shown if len(cameras[identity]) < 2)
    if alone:
        first = alone[0]
        raise InputError(
            f"{Path(root) / example[first]}: identity {first} was seen by camera {min(cameras[first])} only"
            f"{f' ({len(alone)} such identities in all)' if len(alone) > 1 else ''}; "
            "every identity needs two cameras: add an image of another camera, or leave the identity out")


def check_shared(index: Index, checksums) -> None:
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
