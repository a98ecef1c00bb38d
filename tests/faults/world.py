"""What the campaign does things to: a small world of generated people, and the commands that work in it.

A command runs in a child forked from this process, which has imported everything: thousands of them take
minutes. What it writes to its standard output and error is kept, and a signal that ends it is seen.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")    # Caffe's own log: errors only
os.environ["OMP_NUM_THREADS"] = "1"    # a fork has one thread

from data_prep import __main__ as prepare_command, check as check_command
from data_prep.people import __main__ as people_command
from tools import evaluate, lineage, ranked_lists, report, train_stage
from weights import inspect

RUN = "runs/viper/split00"
SETTINGS = ("batch=4", "max_iter=4", "snapshot_every=1", "keep_snapshots=3", "test_every=2",
            "evaluate_every=2", "display=2", "workers=1", "test_pairs=8",
            "threads=1")    # with another number sums round differently
TIMES = {"seconds", "pairs_per_second", "checksum", "finished"}    # of result.json: no two runs have the same
ROOM = 1 << 20    # bytes that a command may write to its output
NO_FIGURES = "log.txt", "snapshot.json"    # they say how long it took
FEATURES = f"{RUN}/features/after/{{}}.npz"


@dataclass(frozen=True)
class Command:
    """A command line: its `main` and its arguments; one that begins with "@" is a path in the world's folder.

    reads, writes: what it takes and makes there. One that makes nothing has its standard output for that.
    """
    main: Callable
    arguments: tuple
    reads: tuple = ()
    writes: tuple = ()


INIT = "init.caffemodel", "init.caffemodel.json"
SIDES = ("--query", f"@{FEATURES.format('query')}", "--gallery", f"@{FEATURES.format('gallery')}",
         "--protocol", "single-shot")
TRAIN = "viper", "--data", "@data", "--base", "tiny", "--cpu"
COMMANDS = {
    "people": Command(people_command.main, ("--out", "@raw", "--identities", "8"), (), ("raw",)),
    "mat": Command(people_command.main, ("--layout", "cuhk03", "--out", "@mat", "--identities", "18"), (),
                   ("mat",)),
    "prepare": Command(prepare_command.main, ("viper", "--raw", "@raw", "--out", "@data", "--split", "0",
                                              "--epochs", "2"), ("raw",), ("data",)),
    "prepare mat": Command(prepare_command.main, ("cuhk03", "--raw", "@mat", "--out", "@cuhk03", "--epochs",
                                                  "1"), ("mat",), ("cuhk03",)),
    "check": Command(check_command.main, ("@data",), ("data",)),
    "train": Command(train_stage.main, (*TRAIN, "--out", "@runs", "--chain", "scratch", "--set", *SETTINGS),
                     ("data",), ("runs",)),
    "train on": Command(train_stage.main, (*TRAIN, "--out", "@on", "--init", "@init.caffemodel", "--set",
                                           *SETTINGS, "max_iter=2"), ("data", *INIT), ("on",)),
    "evaluate": Command(evaluate.main, (*SIDES, "--json", "@figures.json", "--per-query", "@queries.csv",
                                        "--npz", "@all.npz"),
                        ("runs",), ("figures.json", "queries.csv", "all.npz")),
    "report": Command(report.main, ("--runs", "@runs", "--out", "@report"), ("raw", "data", "runs"),
                      ("report",)),
    "ranked": Command(ranked_lists.main, (*SIDES, "--images", "@raw", "--worst", "2", "--count", "2", "--out",
                                          "@ranked.html"), ("raw", "runs"), ("ranked.html",)),
    "lineage": Command(lineage.main, (f"@{RUN}",), ("data", "runs")),
    "inspect": Command(inspect.main, ("@init.caffemodel",), INIT),
}


@dataclass(frozen=True)
class Ending:
    """How a command ended. status: exit status, or minus the signal that ended it."""
    status: int
    out: str
    err: str
    seconds: float


class Running:
    """A command in a forked child, with a session of its own."""

    def __init__(self, name, folder, before=lambda: None):
        """name: of COMMANDS, or a Command; before: called in the child, before anything else."""
        command = name if isinstance(name, Command) else COMMANDS[name]
        arguments = [str(Path(folder, part[1:])) if part[:1] == "@" else part for part in command.arguments]
        self.folder, self.pipes = folder, [os.pipe() for _ in range(2)]    # no limit on files is one on them
        self.pid = os.fork()
        if not self.pid:
            self._live(command.main, ["command", *arguments], before)
        while os.getsid(self.pid) != self.pid:    # a signal before that is lost in the fork, or hits a trace
            time.sleep(0)
        self.began = time.monotonic()
        for mine, others in self.pipes:
            fcntl.fcntl(mine, fcntl.F_SETPIPE_SZ, ROOM)
            os.set_blocking(mine, False)
            os.close(others)

    def _live(self, main, argv, before):
        """The child's life; does not return."""
        status = 99
        try:
            os.setsid()
            for number, (_, pipe) in enumerate(self.pipes, 1):
                os.dup2(pipe, number)
            sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
            sys.argv = argv
            before()
            status = main() or 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def alive(self):
        """Whether it still runs."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def kill(self, group):
        """SIGKILL to the main process, or to all of its group."""
        self.send(signal.SIGKILL, group)

    def send(self, number, group):
        """A signal to the main process, or to all of its group."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    def end(self):
        """Wait for its end; returns the Ending. The world's folder is taken out of what it said."""
        _, status = os.waitpid(self.pid, 0)
        seconds, said = time.monotonic() - self.began, []
        for pipe, _ in self.pipes:
            text = b""
            with contextlib.suppress(BlockingIOError):    # nothing is there, and a child has the other end
                text = os.read(pipe, ROOM)
            os.close(pipe)
            said.append(text.decode(errors="replace").replace(shown(self.folder), "@"))
        return Ending(os.waitstatus_to_exitcode(status), *said, seconds)

    def orphans(self, patience=6.0):
        """Processes of its session that are there `patience` seconds after its end."""
        last = time.monotonic() + patience
        while (left := session(self.pid)) and time.monotonic() < last:
            time.sleep(.05)
        return left


def shown(path):
    """A path as commands print it: bytes that are not UTF-8 are escaped."""
    return str(path).encode(errors="backslashreplace").decode()


def session(number):
    """The processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its = path.read_text().rpartition(")")[2].split()[:4]
            if int(its) == number and state != "Z":
                found.append(int(path.parent.name))
    return found


def run(name, folder, before=lambda: None):
    """Run a command to its end."""
    return Running(name, folder, before).end()


def outcome(name, folder, ending):
    """Everything that a command came to, {name: value}: its products, or what it said where it has none."""
    command = COMMANDS[name]
    if not command.writes:
        return {"status": ending.status, "said": ending.out.splitlines()}
    found = {}
    for product in command.writes:
        path = Path(folder, product)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.name not in NO_FIGURES and file.suffix != ".prototxt":
                found[str(file.relative_to(folder))] = _content(file)
    return found


def _content(file):
    if file.name == "result.json":
        return {key: value for key, value in json.loads(file.read_text()).items() if key not in TIMES}
    return hashlib.sha256(file.read_bytes()).hexdigest()


class World:
    """The undisturbed world in the folder `base`; of every command its seconds and what it comes to.

    It was made in the folder `case`, where every case happens: nets hold the paths of their data.
    """

    def __init__(self, folder, names=tuple(COMMANDS)):
        """names: of the commands that are in it."""
        self.folder, self.names = Path(folder), names
        self.writers = [name for name in names if COMMANDS[name].writes]
        self.base, self.case = self.folder / "base", self.folder / "case"
        self.seconds, self.outcomes = {}, {}
        self.case.mkdir(parents=True)
        for name in names:
            ending = run(name, self.case)
            if ending.status:
                raise RuntimeError(f"{name} fails undisturbed: {ending}")
            self.seconds[name], self.outcomes[name] = ending.seconds, outcome(name, self.case, ending)
            if name == "train":    # what it starts from next, with the record that says whose it is
                self._init()
        self.case.rename(self.base)

    def _init(self):
        from reid.formats import weights_record
        weights = (self.case / RUN / "snapshots/000004/weights.caffemodel").read_bytes()
        weights_record.write(self.case / "init.caffemodel", weights, name="people", base="tiny",
                             mean=[103.939, 116.779, 123.68], origin="generated people", licence="none")

    @contextlib.contextmanager
    def copy(self, *names):
        """The folder `case` with a copy of products of the world."""
        self.case.mkdir()
        try:
            self.fill(self.case, *names)
            yield self.case
        finally:
            shutil.rmtree(self.case)

    def fill(self, folder, *names):
        """Copy products of the world into a folder."""
        for name in names:
            path = self.base / name
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, Path(folder, name))

    def half(self, folder):
        """Turn a copy's finished training into one that was killed: its result and last snapshot are gone."""
        (folder / RUN / "result.json").unlink()
        shutil.rmtree(folder / RUN / "snapshots/000004")
        shutil.rmtree(folder / RUN / "features/after")
