"""Batches of a feed, in order: prepared ahead by worker processes, or in this process when they are read."""
import mmap
import multiprocessing
import os
import signal
import traceback
from multiprocessing.connection import Connection
from typing import Protocol

import cv2
import numpy as np

from reid.common.errors import InputError

SLOTS = 2  # batches that each worker prepares ahead
CARD = "/dev/nvidia"  # what the files of NVIDIA's driver begin with
PARENT_CHECK = 1.0  # seconds between an idle worker's checks that its parent is still running


class Feed(Protocol):
    """What batches are made of: PairFeed's pairs, or the images whose features are computed.

    shape: of a batch, (images, …); dtype: of its numbers in memory; mean: three numbers that are subtracted
    from the channels, or None; workers: processes that prepare batches ahead; 0 prepares them in this one.
    """
    shape: tuple[int, ...]
    dtype: type[np.generic]
    mean: tuple[float, float, float] | None
    workers: int

    def fill(self, k: int, batch: np.ndarray) -> None:
        """Write batch k into an array of that shape and dtype."""


def batches(feed: Feed) -> "Workers | InProcess":
    """The batches of a Feed, by the number of its workers."""
    return Workers(feed) if feed.workers else InProcess(feed)


class InProcess:
    """Batches that are prepared in this process when they are read."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.batch = 0  # the next one to hand out
        self.memory = _empty(feed, 1)[0]

    def read(self, out: np.ndarray) -> int:
        """Write the next batch, minus the mean, into `out`, float32 of the feed's shape; its number."""
        self.feed.fill(self.batch, self.memory)
        _less_mean(self.memory, self.feed, out)
        self.batch += 1
        return self.batch - 1

    def seek(self, k: int) -> None:
        """Make batch k the next."""
        self.batch = k

    def close(self) -> None:
        """Do nothing: there are no processes to end."""


class Workers:
    """The same batches, prepared ahead by worker processes that write bytes into shared memory.

    Worker i of W makes the batches k with k mod W = i. The processes start with the first `read`, and end
    with `close`, with this object, or within a second of this process, however it ends.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.batch = 0  # the next one to hand out
        self.crew = []

    def read(self, out: np.ndarray) -> int:
        """As InProcess.read. Raises a worker's InputError; ChildProcessError where one failed or died."""
        try:
            if not self.crew:
                self._start()
            _less_mean(self._finished(self.batch), self.feed, out)
            self._ask(self.batch + SLOTS * len(self.crew))
        except BaseException:  # an interrupt too: it may leave questions and answers out of step
            self.close()
            raise
        self.batch += 1
        return self.batch - 1

    def seek(self, k: int) -> None:
        """Make batch k the next; prepared batches are dropped."""
        self.close()
        self.batch = k

    def close(self) -> None:
        """End the processes; a later `read` starts new ones."""
        for process, pipe, _ in self.crew:
            process.kill()
            process.join()
            pipe.close()
        self.crew = []

    def __del__(self) -> None:
        self.close()

    def _start(self) -> None:
        fork = multiprocessing.get_context("fork")  # nothing to pickle, and the main module is not run again
        for _ in range(self.feed.workers):
            slots = _empty(self.feed, SLOTS)
            pipe, far_end = fork.Pipe()
            process = fork.Process(target=_work, args=(self.feed, slots, far_end, os.getpid()), daemon=True)
            process.start()
            far_end.close()  # so that the worker's death closes the pipe
            self.crew.append((process, pipe, slots))
        for k in range(self.batch, self.batch + SLOTS * len(self.crew)):
            self._ask(k)

    def _ask(self, k: int) -> None:
        _, pipe, _ = self.crew[k % len(self.crew)]
        try:
            pipe.send((k, self._slot(k)))
        except BrokenPipeError:
            pass  # the worker died; _finished says so when its batch is due

    def _finished(self, k: int) -> np.ndarray:
        """Wait for batch k; returns the memory that it is in."""
        process, pipe, slots = self.crew[k % len(self.crew)]
        try:
            failure = pipe.recv()
        except (EOFError, ConnectionResetError):
            process.join()
            ending = _ending(process.exitcode)
            failure = ChildProcessError(f"worker process {process.pid} of the feed {ending} "
                                        f"before batch {k} was ready (out of memory?)")
        if failure:
            raise failure
        return slots[self._slot(k)]

    def _slot(self, k: int) -> int:
        return k // len(self.crew) % SLOTS


def _work(feed: Feed, slots: np.ndarray, pipe: Connection, parent: int) -> None:
    """The loop of a worker: receive a batch number and a slot, fill the slot, send back a failure or None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not a handler that the parent may have set
    _let_go_of_the_card()
    cv2.setNumThreads(0)  # the parent's OpenCV threads do not exist on this side of the fork
    try:
        while True:
            # Other children of the parent may hold its end of the pipe, so its death need not close it. The
            # kernel's parent-death signal is no help: it comes when the *thread* that forked ends.
            while not pipe.poll(PARENT_CHECK):
                if os.getppid() != parent:
                    return
            k, slot = pipe.recv()
            pipe.send(_failure(feed, k, slots[slot]))
    except (EOFError, ConnectionError):
        return


def _let_go_of_the_card() -> None:
    """Close what the fork inherited of a GPU's driver.

    A worker outlives a parent that is killed by up to PARENT_CHECK, and the card's memory is given back when
    the last process that has its files open is gone: a run that is restarted at once would find it taken.
    """
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith(CARD):
                os.close(int(name))
        except OSError:  # the one that listed the folder
            pass


def _failure(feed: Feed, k: int, batch: np.ndarray) -> Exception | None:
    """Fill `batch` with batch k; returns the exception of a failure, or None."""
    try:
        feed.fill(k, batch)
    except InputError as error:
        return error
    except Exception:
        return ChildProcessError(f"a worker of the feed failed on batch {k}:\n{traceback.format_exc()}")


def _ending(exitcode: int) -> str:
    if exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"ended with status {exitcode}"


def _empty(feed: Feed, slots: int) -> np.ndarray:
    """Memory for `slots` batches, (slots, *shape), shared with processes forked later."""
    shape, dtype = (slots, *feed.shape), np.dtype(feed.dtype)
    return np.frombuffer(mmap.mmap(-1, int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)


def _less_mean(batch: np.ndarray, feed: Feed, out: np.ndarray) -> None:
    if feed.mean is None:
        out[...] = batch
        return
    mean = np.array(feed.mean, np.float32).reshape(3, 1, 1)
    for image, target in zip(batch, out):    # one by one: it stays in the processor's cache
        target[...] = image  # to float first: faster than letting the subtraction convert
        target -= mean
