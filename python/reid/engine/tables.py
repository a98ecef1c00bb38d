"""The CSV files that a run writes row by row, and that a resumed run cuts back to its snapshot.

A snapshot holds their length and checksums, so that a run never resumes from it where rows were lost.
"""

import csv
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reid.common.errors import InputError
from reid.common.files import read_bytes, write_whole
from reid.formats.snapshot import Snapshot

KEPT = ("losses.csv", "test.csv", "evaluation.csv", "alarms.csv")    # whose state a snapshot holds
ALL = (*KEPT, "epochs.csv")    # whose state a result holds


class Table:
    """Rows by iteration in a CSV file; each is in the file as soon as it is written."""

    def __init__(self, path: Path, upto: int) -> None:
        """Continue the file at `path` after iteration `upto`; later rows and an unreadable end are dropped.

        InputError where a row before the last to be kept is unreadable.
        """
        header, *lines = _lines(path) or [""]
        iterations = [_iteration(line) for line in lines]
        last = max((place for place, number in enumerate(iterations)
                    if number is not None and number <= upto), default=-1)
        if None in iterations[:last]:
            raise damaged(path, iterations.index(None) + 2, "begins with no iteration")
        kept = [line for line, number in zip(lines[:last + 1], iterations) if number <= upto]
        self.empty = not kept
        self.last = int(kept[-1].split(",")[0]) if kept else 0    # iteration of the last row
        write_whole(path, "" if self.empty else "".join(line + "\n" for line in (header, *kept)))
        self.file = open(path, "a", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file, lineterminator="\n")

    def write(self, iteration: int, **values: float | str) -> None:
        """Append one row; the first one names the columns. Texts must be of one line."""
        row = {"iteration": iteration, **values}
        if self.empty:
            self.writer.writerow(row)
            self.empty = False
        self.writer.writerow(f"{value:.7g}" if isinstance(value, float) else value for value in row.values())
        self.file.flush()
        self.last = iteration

    def sync(self) -> None:
        """Sync the rows to the disk."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def state(run: Path, names: Iterable[str] = KEPT) -> dict[str, dict[str, Any]]:
    """Length and checksum of tables, {name: {"bytes", "sha256"}}, as snapshots and results hold them."""
    contents = {name: (Path(run) / name).read_bytes() for name in names if (Path(run) / name).is_file()}
    return {name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in contents.items()}


def lacking(run: Path, kept: Snapshot) -> str | None:
    """The name of a table that does not hold all rows up to a Snapshot, or None.

    A snapshot of an older version does not record tables; there must be a loss for each iteration up to it.
    """
    if kept.tables is None:
        iterations = [_iteration(line) for line in _lines(Path(run) / "losses.csv")[1:kept.iteration + 1]]
        return None if iterations == list(range(1, kept.iteration + 1)) else "losses.csv"
    for name, seen in kept.tables.items():
        content = _content(Path(run) / name)[:seen["bytes"]]
        if hashlib.sha256(content).hexdigest() != seen["sha256"]:
            return name
    return None


def cut_back(run: Path, kept: Snapshot) -> None:
    """Cut the tables of a run back to their length at a Snapshot, all of whose rows they hold."""
    for name, seen in (kept.tables or {}).items():
        content = _content(Path(run) / name)
        if len(content) > seen["bytes"]:
            write_whole(Path(run) / name, content[:seen["bytes"]])


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, [{column: text}, …]; none where there is no file.

    InputError names a bad one.
    """
    reader, found = csv.DictReader(_lines(path)), []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise damaged(path, reader.line_num, f"has not {len(reader.fieldnames)} columns, as line 1")
            found.append(row)
    except csv.Error as error:
        raise damaged(path, reader.line_num + 1, str(error)) from None
    return found


def read(path: Path) -> dict[str, list[float]]:
    """The columns of a CSV file of numbers, {name: [float, …]}; {} where there is no file or no row."""
    found = rows(path)
    try:
        return {name: [float(row[name]) for row in found] for name in found[0]} if found else {}
    except ValueError:
        line = next(number for number, row in enumerate(found, 2) if not all(map(_is_number, row.values())))
        raise damaged(path, line, "holds something that is no number") from None


def damaged(path: Path, line: int, what: str) -> InputError:
    """The InputError of a damaged line."""
    return InputError(f"{path}, line {line}: {what}; bring the file back, or delete it with its run")


def _iteration(line: str) -> int | None:
    """The iteration of a row, or None where there is none."""
    try:
        return int(line.split(",")[0])
    except ValueError:
        return None


def _is_number(text: str) -> bool:
    try:
        return float(text) is not None
    except ValueError:
        return False


def _content(path: Path) -> bytes:
    """The bytes of a file; none where there is no file."""
    return read_bytes(path) if path.exists() else b""


def _lines(path: Path) -> list[str]:
    """The lines of a file, an unfinished last one left out; none where there is no file."""
    return _content(Path(path)).decode(errors="replace").split("\n")[:-1]
