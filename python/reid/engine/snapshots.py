"""Snapshots of a training run: folders that appear whole or not at all.

The content of snapshots/000500/ is described in reid.formats.snapshot. The solver's state names its weights
by file name alone, so that a run can be moved and two equal runs have equal bytes.
"""

import contextlib
import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import caffe
import numpy as np
from caffe.proto import caffe_pb2

from reid.common.errors import InputError
from reid.common.files import whole_directory
from reid.engine import tables
from reid.formats import snapshot
from reid.formats.caffemodel import read_caffemodel, shape
from reid.formats.snapshot import STATE, WEIGHTS, Snapshot
from reid.nets import fit

NO_ROOM = errno.ENOSPC, errno.EDQUOT, errno.EFBIG


def prefix(run: Path) -> str:
    """The snapshot_prefix of a run's solver: where Caffe itself writes before the files get their names."""
    return str(Path(run) / "snapshots" / ".caffe" / "snapshot")


def save(solver: caffe.SGDSolver, run: Path, keep: int, seconds: float, trained_with: dict[str, Any]) -> Path:
    """Write the solver's snapshot of this iteration and remove all but the newest `keep`; returns its folder.

    seconds: how long the training has taken so far; trained_with: the settings and inputs, a flat dict.
    InputError where a weight is not finite, and where the disk, a quota or a limit on file sizes is full.
    """
    if not all(np.isfinite(blob.data).all() for blobs in solver.net.params.values() for blob in blobs):
        raise InputError(f"iteration {solver.iter}: a weight is NaN or infinite, so no snapshot is kept")
    written = Path(prefix(run))
    _clear(run)
    written.parent.mkdir(parents=True)
    folder = Path(run) / "snapshots" / f"{solver.iter:06d}"
    try:
        _check_space(solver, written.parent)
        with whole_directory(folder) as partial:
            with (_received(Path(f"{written}_iter_{solver.iter}.caffemodel"), partial / WEIGHTS),
                  _received(Path(f"{written}_iter_{solver.iter}.solverstate"), partial / STATE)):
                solver.snapshot()
            read_caffemodel(partial / WEIGHTS)
            state = snapshot.read_state(partial / STATE)
            state.learned_net = WEIGHTS
            (partial / STATE).write_bytes(state.SerializeToString())
            snapshot.write(partial, iteration=solver.iter, seconds=seconds, trained_with=trained_with,
                           tables=tables.state(run))
    except OSError as error:
        make_room = ("make room (a quota and a limit on the size of files count too) and "
                     if error.errno in NO_ROOM else "")
        raise InputError(f"{folder}: cannot be written: {error.strerror}; {make_room}start the same command "
                         "again: it resumes from the last whole snapshot") from None
    finally:
        shutil.rmtree(written.parent)
    tidy(run, keep, solver.iter)
    return folder


def tidy(run: Path, keep: int, iteration: int) -> None:
    """Remove what a kill in the middle of a snapshot left, and all but the newest `keep` up to an iteration.

    A later one that was found damaged does not count among the newest: it would displace a whole one.
    """
    _clear(run)
    for old in [other for other in _folders(run) if int(other.name) <= iteration][:-keep]:
        shutil.rmtree(old)


def _clear(run: Path) -> None:
    """Remove what a kill in the middle of a snapshot left."""
    for left in (Path(run) / "snapshots").glob(".*"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _received(pipe: Path, file: Path) -> Iterator[None]:
    """While the block runs, a child process copies what Caffe writes to the path `pipe` into `file`.

    Caffe aborts where a write fails, and a write to a pipe does not fail. Raises the OSError of the child.
    Where a file system has no pipes, Caffe writes the file itself.
    """
    try:
        os.mkfifo(pipe)
    except OSError:
        yield
        pipe.rename(file)
        return
    source = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    held = os.open(pipe, os.O_WRONLY)    # the child reads until this is closed, or this process is gone
    os.set_blocking(source, True)
    child = multiprocessing.get_context("fork").Process(target=_drain, args=(source, held, file))
    # Where the child is killed, Caffe would wait for ever: SIGIO, which this end of a pipe sends when the
    # other goes with the child, ends the process.
    alive, with_child = os.pipe()
    fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(alive, fcntl.F_SETFL, os.O_ASYNC)
    child.start()
    os.close(with_child)
    try:
        yield
    finally:
        fcntl.fcntl(alive, fcntl.F_SETFL, 0)    # from here on the child may end
        os.close(alive)
        os.close(source)
        os.close(held)
        child.join()
    if child.exitcode:
        raise OSError(child.exitcode, os.strerror(child.exitcode), str(file))


def _drain(source: int, held: int, file: Path) -> None:
    """The child process: copy the pipe into the file; its exit status is the errno of a failure, or 0."""
    for number in (signal.SIGINT, signal.SIGTERM):    # the parent's to answer
        signal.signal(number, signal.SIG_IGN)
    os.close(held)
    failure, stream = 0, None
    try:
        stream = open(file, "wb", buffering=0)
    except OSError as error:
        failure = error.errno
    while block := os.read(source, 1 << 20):
        with memoryview(block) as left:
            while left and not failure:
                try:
                    left = left[stream.write(left):]
                except OSError as error:
                    failure = error.errno
    sys.exit(failure)


def newest(run: Path, log: Callable[[str], None] = lambda line: None) -> Path | None:
    """The folder of the newest snapshot whose checksums hold and whose rows are in the tables, or None.

    `log` gets a line for each that is skipped. InputError where the tables cover none of the whole ones.
    """
    oldest = missing = None
    for folder in reversed(_folders(run)):
        if not snapshot.whole(folder):
            log(f"{folder} is damaged or cut short, and passed over for the snapshot before it")
            continue
        oldest, missing = folder, tables.lacking(run, snapshot.read(folder))
        if not missing:
            return folder
        log(f"{Path(run) / missing} does not hold all rows up to {folder}, which is passed over for the "
            "snapshot before it")
    if oldest:
        raise InputError(f"{Path(run) / missing}: does not hold all rows up to {oldest}, the oldest snapshot "
                         f"that is whole; bring the table back, or delete {oldest.parent} to train anew")
    return None


def records(run: Path) -> list[tuple[Path, Snapshot]]:
    """The records of a run's snapshots: [(folder, Snapshot), …], damaged ones left out."""
    found = []
    for folder in _folders(run):
        with contextlib.suppress(OSError, InputError):
            found.append((folder, snapshot.read(folder)))
    return found


def restore(solver: caffe.SGDSolver, folder: Path) -> None:
    """Restore the solver from a snapshot: weights, momentum and iteration.

    InputError where it is a snapshot of another net: Caffe would abort.
    """
    state, layers = snapshot.read_state(folder / STATE), read_caffemodel(folder / WEIGHTS)
    _check_net(solver.net, layers, folder)
    state.ClearField("learned_net")
    fit.load(solver.net, layers)
    with tempfile.NamedTemporaryFile(suffix=".solverstate") as file:
        file.write(state.SerializeToString())
        file.flush()
        solver.restore(file.name)


def _check_net(net: caffe.Net, layers: Mapping[str, Sequence[caffe_pb2.BlobProto]], folder: Path) -> None:
    """InputError where the weights of a snapshot are not those of `net`, layer by layer."""
    kept = {name: [shape(blob) for blob in blobs] for name, blobs in layers.items()}
    wanted = {name: [tuple(blob.shape) for blob in blobs] for name, blobs in net.params.items()}
    for name in {**wanted, **kept}:
        if kept.get(name) != wanted.get(name):
            raise InputError(f"{folder}: a snapshot of another net: layer {name} has shapes "
                             f"{kept.get(name, 'none')}, and this net has {wanted.get(name, 'none')}; delete "
                             "the snapshot, or choose another --out")


def bytes_of_one(net: caffe.Net) -> int:
    """About how many bytes a snapshot of `net` takes: weights and momentum."""
    return 2 * sum(blob.data.nbytes for blobs in net.params.values() for blob in blobs)


def _folders(run: Path) -> list[Path]:
    return sorted((path for path in (Path(run) / "snapshots").glob("*") if path.name.isdigit()),
                  key=lambda path: int(path.name))


def _check_space(solver: caffe.SGDSolver, folder: Path) -> None:
    """Check the free space before Caffe writes: Caffe does not check whether its bytes reach the disk."""
    free, needed = shutil.disk_usage(folder).free, 2 * bytes_of_one(solver.net)
    if free < needed:
        raise InputError(f"{folder.parent}: {free / 1e6:.0f} MB free, and a snapshot needs "
                         f"{needed / 1e6:.0f} MB; make room and start the same command again: it resumes "
                         "from the last whole snapshot")
