"""Files and folders that appear whole or not at all."""

import contextlib
import functools
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def checksum(path: Path | str) -> str:
    """The SHA-256 of a file, computed again only where its size or modification time has changed."""
    state = Path(path).stat()
    return _checksum(Path(path), state.st_size, state.st_mtime_ns)


@functools.cache
def _checksum(path: Path, size: int, time: int) -> str:
    return sha256_file(path)


def write_whole(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) beside `path`, sync it, rename it: readers see the old file or the new.

    Raises OSError, naming `path`, where the disk is full; the older file is then still there.
    """
    path = _named(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)
    _sync(path.parent)


@contextlib.contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; when the block succeeds, sync it and rename it to `path`.

    An older folder at `path` is replaced only then. If the block fails, the new folder is removed and the
    older one stays as it was; an OSError without a file name, such as a full disk, then names `path`.
    """
    path = _named(path)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for entry in partial.rglob("*"):
            _sync(entry)
        _sync(partial)
        _replace_directory(partial, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _named(path: Path) -> Path:
    """A path that ends in a name, as "." does not."""
    return Path(path) if Path(path).name else Path(path).absolute()


def _replace_directory(new: Path, path: Path) -> None:
    """Rename `new` to `path`; an older folder is renamed first, since rename(2) replaces only empty ones."""
    if path.exists():
        old = path.with_name(f".{path.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
        new.rename(path)
        shutil.rmtree(old)
    else:
        new.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Sync a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
