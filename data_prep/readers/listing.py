"""Listing a raw folder: what every reader does before it looks at names."""

import os
from collections.abc import Iterator
from pathlib import Path

from data_prep.readers.generated import MARK
from reid.common.errors import InputError
from reid.common.files import is_utf_8

_STRAY = {"Thumbs.db", ".DS_Store", "__MACOSX", MARK}
_PICTURES = {".png", ".jpg", ".jpeg", ".bmp"}


def list_files(root: Path) -> list[str]:
    """Return the files under `root`, sorted, relative, with forward slashes. Symbolic links are followed.

    Files that operating systems and archives leave behind (Thumbs.db, .DS_Store, __MACOSX, a README* that is
    no picture) are left out. Raises InputError where `root` is not a folder, and at anything in it that is
    neither file nor folder, such as a broken link: no image is left out silently.
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder; --raw names the folder of the raw dataset")
    return sorted(path.relative_to(root).as_posix() for path in _files(root, (root.resolve(),)))


def _files(folder: Path, inside: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files under a folder. `inside`: the resolved folders that it lies in, itself the last."""
    for path in folder.iterdir():
        if path.name in _STRAY:
            continue
        if not is_utf_8(path.name):
            raise InputError(f"{ascii(str(path))}: its name is not UTF-8; rename it")
        if path.is_file():
            if not path.name.upper().startswith("README") or path.suffix.lower() in _PICTURES:
                yield path
        elif path.is_dir():
            target = path.resolve()
            if target in inside:
                raise InputError(f"{path}: a symbolic link that leads back to {target}, in which it lies; "
                                 "remove it")
            yield from _files(path, (*inside, target))
        elif path.is_symlink():
            raise InputError(f"{path}: a symbolic link that leads to {os.readlink(path)}, where there is no "
                             "file; restore that, or remove the link")
        else:
            raise InputError(f"{path}: neither a file nor a folder; remove it")


def refuse(root: Path, names: list[str], expected: str) -> None:
    """Raise InputError where there are names that a reader did not understand; the first ten are listed.

    Where nothing was understood and all lies in one folder, as archives unpack, the error names that folder.
    """
    if names:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        inside, all_names = {Path(name).parts[0] for name in names}, list_files(root)
        alone = len(inside) == 1 and len(names) == len(all_names) and "/" in names[0]
        hint = f"; should it be --raw {root / inside.pop()}?" if alone else ""
        raise InputError(f"{root}: not understood: {', '.join(names[:10])}{more}; expected {expected}{hint}")
