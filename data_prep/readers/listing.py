"""Listing a raw folder: what every reader does before it looks at names."""

from pathlib import Path

from data_prep.readers.generated import MARK
from reid.common.errors import InputError

_STRAY = {"Thumbs.db", ".DS_Store", "__MACOSX", MARK}


def list_files(root: Path) -> list[str]:
    """Return the files under `root`, sorted, relative, with forward slashes.

    Files that operating systems and archives leave behind (Thumbs.db, .DS_Store, __MACOSX, README*) are left
    out. Raises InputError where `root` is not a folder.
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder; --raw names the folder of the raw dataset")
    relative = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in relative
                  if not _STRAY & set(path.parts) and not path.name.upper().startswith("README"))


def refuse(root: Path, names: list[str], expected: str) -> None:
    """Raise InputError where there are names that a reader did not understand; the first ten are listed."""
    if names:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise InputError(f"{root}: not understood: {', '.join(names[:10])}{more}; expected {expected}")
