"""One process at a time in a folder, by a lock that ends with the process, even when it is killed."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from reid.common.errors import InputError

NAME = ".lock"
ENDING = 2.0    # seconds that a killed process, or a child that it had just forked, may take to be gone
_held: set[int] = set()    # descriptors of this process


@contextlib.contextmanager
def in_use(folder: Path, wait: bool = False, beside: bool = False) -> Iterator[None]:
    """Keep `folder` for this process while the block runs. A missing one is made, and goes if it stays empty.

    Where another process has it: wait until that one ends, and say so, or raise InputError. The lock is
    flock(2) on a file: it ends with the process, however that ends, and a file that a kill left behind is
    locked by nobody. beside: the file lies beside the folder, which is not made: for one that appears whole.
    """
    folder = Path(folder)
    file = folder.absolute().with_name(f".{folder.absolute().name}.lock") if beside else folder / NAME
    there = next(path for path in (file.parent, *file.parent.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"{there}: is a file; --out names a folder")
    made = [path for path in (file.parent, *file.parent.parents) if not path.exists()]
    descriptor = None
    try:
        descriptor = _take(folder, file, wait)
        _held.add(descriptor)
        yield
    finally:
        if descriptor is not None:
            file.unlink(missing_ok=True)    # first: who opened it meanwhile sees that it is gone
            _held.discard(descriptor)
            os.close(descriptor)
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()


def clear(folder: Path) -> None:
    """Remove a lock file that a kill left behind in a folder where nothing is to be done any more."""
    if (Path(folder) / NAME).exists():
        with contextlib.suppress(InputError, OSError), in_use(folder):    # in use, or not ours to write
            pass


def _take(folder: Path, file: Path, wait: bool) -> int:
    """A descriptor of the folder's lock file, locked."""
    last_try, told = time.monotonic() + ENDING, False
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:    # another process has just left it, and removed it as it was empty
            if time.monotonic() > last_try:
                raise    # no: nothing can be made there, as below /proc
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if told else fcntl.LOCK_NB))
        except OSError as error:
            holder = os.read(descriptor, 100).decode(errors="replace")
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                if time.monotonic() < last_try:
                    time.sleep(0.05)
                    continue
                if wait:
                    print(f"{folder}: in use by {holder or 'another process'}; waiting until it ends",
                          flush=True)
                    told = True    # from here on flock waits
                    continue
                raise InputError(f"{folder}: in use by {holder or 'another process'}; wait until it ends, "
                                 "or choose another --out") from None
            raise
        if os.fstat(descriptor).st_nlink:    # else the one before removed it between open and lock
            break
        os.close(descriptor)
    with contextlib.suppress(OSError):    # on a full disk the lock holds without a name
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}".encode())
    return descriptor


def _let_go() -> None:
    """Close the locks in a forked child: it shares them, and would keep them if it outlived its parent."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)
