"""Files and folders that appear whole or not at all."""

import contextlib
import errno
import functools
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def open_file(path: Path | str) -> BinaryIO:
    """Open a file for reading bytes; OSError for a pipe or a device too, which may never end."""
    return open(path, "rb", opener=_regular)


def _regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)    # or a pipe would wait for a writer
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):    # `open` refuses a folder by itself
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def is_utf_8(name: str) -> bool:
    """Whether the bytes of a file's name are UTF-8."""
    try:
        return name.encode() is not None
    except UnicodeEncodeError:
        return False


def read_bytes(path: Path | str) -> bytes:
    """The content of a file; OSError as for `open_file`."""
    with open_file(path) as stream:
        return stream.read()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits; OSError as for `open_file`."""
    digest = hashlib.sha256()
    with open_file(path) as stream:
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
