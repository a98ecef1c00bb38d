"""One LMDB, written whole in key order, read from any number of processes: what both databases share."""

import os
from pathlib import Path
from types import TracebackType

import lmdb
import numpy as np

from reid.common.errors import InputError

_VALUES_PER_COMMIT = 256
DAMAGED = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.PanicError,
           lmdb.VersionMismatchError)


class Writer:
    """Fills one LMDB in key order; keys must come sorted, which keeps the file free of holes."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.count = Path(folder), 0
        try:
            self.environment = lmdb.open(os.fsencode(folder), map_size=size + (1 << 20), lock=False)
            self.transaction = self.environment.begin(write=True)
        except lmdb.Error as error:
            raise self._failure(error) from error

    def put(self, key: bytes, value: bytes) -> None:
        """Append a value under a key that sorts after all before; InputError where the disk is full."""
        try:
            self.transaction.put(key, value, append=True)
            self.count += 1
            if self.count % _VALUES_PER_COMMIT == 0:
                self.transaction.commit()
                self.transaction = self.environment.begin(write=True)
        except lmdb.Error as error:
            raise self._failure(error) from error

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.transaction.commit()
            else:
                self.transaction.abort()
        except lmdb.Error as failure:
            raise self._failure(failure) from failure
        finally:
            self.environment.close()

    def _failure(self, error: lmdb.Error) -> InputError:
        return InputError(f"{self.folder}: cannot be written ({error}); free disk space there, or choose "
                          "another --out")


class _Kept:
    """The bytes of a value, and their transaction.

    NumPy keeps this object as long as an array views the bytes, and so the file stays mapped. LMDB's own
    views do not keep it mapped: an array on them would crash the process once its store is gone.
    """

    def __init__(self, value: memoryview, transaction: lmdb.Transaction) -> None:
        self.__array_interface__ = np.frombuffer(value, np.uint8).__array_interface__
        self.transaction = transaction


class Store:
    """A read-only LMDB, opened at first use in each process: an LMDB handle must not cross a fork.

    Its length is looked at before each read: reading past the end of a file that was cut short, even since it
    was opened, would kill the process with a bus error.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._process = None
        if not (self.path / "data.mdb").is_file():
            raise InputError(f"{self.path}: there is no LMDB here; write it with `python -m data_prep`")

    def read(self, key: bytes) -> memoryview | None:
        """Return a view of a value, None where it is empty or the key is not there."""
        transaction = self._snapshot()
        value = transaction.get(key)
        return memoryview(np.asarray(_Kept(value, transaction))) if value else None

    def _snapshot(self) -> lmdb.Transaction:
        if self._process != os.getpid():
            try:
                self._environment = lmdb.open(os.fsencode(self.path), readonly=True, lock=False,
                                              readahead=False)
                self._transaction = self._environment.begin(buffers=True)
            except DAMAGED as error:
                raise self.damaged(f"not an LMDB that can be read: {error}") from error
            except lmdb.Error as error:    # such as no memory or no right to read it: the file may be whole
                raise InputError(f"{self.path}: cannot be read: {error}") from error
            pages = self._environment.info()["last_pgno"] + 1
            self._needed = pages * self._environment.stat()["psize"]
            self._file = open(self.path / "data.mdb", "rb")    # the one that is mapped, whatever replaces it
            self._process = os.getpid()
        there = os.fstat(self._file.fileno()).st_size
        if there < self._needed:
            raise self.damaged(f"cut short: {there} of {self._needed} bytes")
        return self._transaction

    def _bytes(self) -> int:
        """The size of the file that holds the values."""
        self._snapshot()
        return self._needed

    def damaged(self, what: str) -> InputError:
        """Return the error of a database in which `what` is wrong."""
        return InputError(f"{self.path}: {what}; delete the folder it lies in and prepare the data again")
