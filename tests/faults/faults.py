"""The faults: each takes the world and a seeded generator, does one thing to one command, and says what came.

A fault returns a Case: what was done, and what was wrong with what came of it. Nothing is wrong where the
command ends well or with one sentence, loses nothing that it had made, and comes to what it comes to
undisturbed once the fault is gone.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from world import COMMANDS, RUN, Running, outcome, run

from reid.report.html import join

LOSS, SILENT, TRACEBACK, ABORT, ORPHAN = "loss", "silent change", "traceback", "abort", "orphan"
WRONG = LOSS, SILENT, TRACEBACK, ABORT, ORPHAN
TRACES = "Traceback", "unexpected ", "HDF5-DIAG", "Check failure", "terminate called", "core dumped"


@dataclass
class Case:
    """One fault. done: in words; ended: "well", "refused" or "killed"; wrong: {one of WRONG: what}."""
    done: str
    ended: str = "well"
    wrong: dict = field(default_factory=dict)

    def judge(self, ending, allowed=(0, 2)):
        """Look at how a command ended under the fault: by itself, and with one sentence where not well."""
        self.ended = "well" if ending.status == 0 else "refused"
        if ending.status < 0:
            self.wrong[ABORT] = f"signal {-ending.status}: {ending.err[-600:]}"
        if ending.status not in allowed or any(trace in ending.err for trace in TRACES):
            self.wrong.setdefault(TRACEBACK, f"status {ending.status}: {ending.err[-1200:]}")
        if ending.status == 2 and sum(line.startswith("error: ") for line in ending.err.splitlines()) != 1:
            self.wrong.setdefault(TRACEBACK, f"not one sentence: {ending.err[-600:]}")
        return ending

    def same(self, world, name, folder, kind=LOSS):
        """Run the command without the fault; it must end well and come to what it comes to undisturbed."""
        ending = run(name, folder)
        if ending.status and "not an empty folder; choose" not in ending.err:    # it was finished before
            self.wrong[kind] = f"afterwards status {ending.status}: {ending.err[-600:]}"
        else:
            self.compare(world, name, folder, ending, kind)
        left = [path.name for path in folder.rglob(".*") if path.name != ".features"]
        if left:
            self.wrong[ORPHAN] = f"files are left: {left[:4]}"

    def compare(self, world, name, folder, ending, kind, but=()):
        """What a command came to is what it comes to undisturbed; `but`: keys that are left out."""
        found, wanted = outcome(name, folder, ending), world.outcomes[name]
        differing = sorted(key for key in (found.keys() | wanted.keys()) - {*but}
                           if found.get(key) != wanted.get(key))
        if differing:
            self.wrong[kind] = f"{', '.join(differing[:4])} differ{'s' if len(differing) == 1 else ''}"


def kill(world, random):
    """SIGKILL at one to three random moments, to the main process or to all; then the same command again."""
    name, group = str(random.choice(world.writers)), bool(random.integers(2))
    case = Case(f"kill {name}, {'all its processes' if group else 'the main process'}, after", "killed")
    with world.copy(*COMMANDS[name].reads) as folder:
        for _ in range(random.integers(1, 4)):
            delay = random.uniform(0, 1.1 * world.seconds[name])
            case.done += f" {delay:.2f} s"
            running = Running(name, folder)
            last = time.monotonic() + delay
            while time.monotonic() < last and running.alive():
                time.sleep(.002)
            running.kill(group)
            ending = running.end()
            if ending.status not in (0, -9):
                case.judge(ending)
            if left := running.orphans():
                case.wrong[ORPHAN] = f"processes {left} live on"
        case.same(world, name, folder)
    return case


def killed_midway(world, random, name, folder):
    """Start a command, and kill all its processes at a random moment."""
    running = Running(name, folder)
    time.sleep(random.uniform(0, world.seconds[name]))
    running.kill(True)
    running.end()


def _files_of(world, name):
    """The sizes of the files that a command writes."""
    products = [world.base / product for product in COMMANDS[name].writes]
    files = [path for product in products for path in [product, *product.rglob("*")] if path.is_file()]
    return [path.stat().st_size for path in files]


def file_limit(world, random):
    """No file may grow beyond a random size: what a quota, and a full disk too, looks like."""
    name = str(random.choice(world.writers))
    largest = max(_files_of(world, name))
    small = random.random() < .5    # where most files end, or anywhere in the largest
    limit = int(largest ** random.uniform(0, 1.02) if small else random.uniform(0, largest))
    case = Case(f"{name} where no file may be larger than {limit} bytes")
    with world.copy(*COMMANDS[name].reads) as folder:
        limits = resource.RLIMIT_FSIZE, (limit, limit)
        ending = case.judge(run(name, folder, lambda: resource.setrlimit(*limits)))
        if ending.status == 0:
            case.compare(world, name, folder, ending, SILENT)
        case.same(world, name, folder)
    return case


def can_mount():
    """Whether this process may mount a small disk of its own."""
    if os.geteuid() or not shutil.which("mount"):
        return False
    with tempfile.TemporaryDirectory() as folder, _disk(Path(folder, "disk")) as mounted:
        return mounted


@contextlib.contextmanager
def _disk(folder):
    """Mount a small disk on a new folder; yields whether it could be."""
    folder.mkdir()
    mounted = not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200M", "tmpfs", folder],
                                 capture_output=True).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def full_disk(world, random):
    """A disk with a random room for what a command writes; it gets larger, and the same command resumes."""
    name = str(random.choice(world.writers))
    room = int(1.3 * sum(_files_of(world, name)) * random.uniform(0, 1)) // 4096 * 4096
    case = Case(f"{name} on a disk with {room} bytes free")
    folder = world.case
    with _disk(folder):
        world.fill(folder, *COMMANDS[name].reads)
        used = shutil.disk_usage(folder).used
        resize(folder, max(4096, used + room))
        ending = case.judge(run(name, folder))
        resize(folder, 2 ** 28)
        if ending.status == 0:
            case.compare(world, name, folder, ending, SILENT)
        case.same(world, name, folder)
    return case


def read_only_disk(world, random):
    """A disk that can be read only, as after an error in it; it is repaired, and the same command goes on."""
    name, half = str(random.choice(world.names)), bool(random.integers(2))
    case = Case(f"{name} on a disk that can be read only{', after a kill' if half else ''}")
    folder = world.case
    with _disk(folder):
        world.fill(folder, *COMMANDS[name].reads)
        if half:
            killed_midway(world, random, name, folder)
        _remount(folder, "ro")
        ending = case.judge(run(name, folder))
        if ending.status == 0 and COMMANDS[name].writes:    # it was finished before
            case.compare(world, name, folder, ending, SILENT)
        _remount(folder, "rw")
        case.same(world, name, folder)
    return case


def resize(folder, size):
    """Give a mounted disk another size, in bytes."""
    _remount(folder, f"size={size}")


def _remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True, capture_output=True)


HOWS = ("cut", "empty", "zeros", "byte", "bit", "garbage", "exchanged", "folder", "gone", "link", "grown")


@dataclass(frozen=True)
class Damage:
    """What is done to a file. place: from 0 to 1, where in it; value: 1 to 255, what goes there."""
    command: str
    file: str
    how: str
    place: float
    value: int
    half: bool = False

    def do(self, folder):
        """Do it, in the world of this folder; returns whether the file is another now."""
        path, place = folder / self.file, self.place
        content = bytearray(path.read_bytes())
        at = min(int(place * len(content)), max(len(content) - 1, 0))
        before = bytes(content)
        if self.how in ("gone", "link", "folder"):
            path.unlink()
            if self.how == "link":
                path.symlink_to(folder / "nowhere")
            if self.how == "folder":
                path.mkdir()
            return True
        if self.how == "cut":
            content = content[:at]
        elif self.how == "empty":
            content = b""
        elif self.how == "zeros":
            content[at:at + 16 * self.value] = bytes(len(content[at:at + 16 * self.value]))
        elif self.how == "byte" and content:
            content[at] ^= self.value
        elif self.how == "bit" and content:
            content[at] ^= 1 << self.value % 8
        elif self.how == "garbage":
            content = bytes((self.value * n * n + n) % 251 for n in range(int(place * 5000)))
        elif self.how == "exchanged":
            others = sorted(other for other in folder.rglob("*") if other.is_file() and other != path)
            content = others[int(place * len(others)) % len(others)].read_bytes()
        elif self.how == "grown":
            content += bytes([self.value]) * self.value
        path.write_bytes(content)
        return bytes(content) != before


# What a command reads, in the world after it; "half": of a training that was killed. {} stands for any name.
SNAPSHOTS = [f"{RUN}/snapshots/00000{number}/{name}" for number in (2, 3)
             for name in ("weights.caffemodel", "state.solverstate", "snapshot.json")]
TABLES = [f"{RUN}/{name}.csv" for name in ("losses", "test", "evaluation", "alarms", "epochs")]
PARTS = "images", "split00/train", "split00/test"
DATA = ["data/manifest.json", *(f"data/{part}/data.mdb" for part in PARTS)]
STARTED = [f"{RUN}/{name}" for name in ("settings.yaml", "start.json", "deploy.prototxt", "solver.prototxt")]
NPZ = [f"{RUN}/features/{when}/{side}.npz" for when in ("before", "after") for side in ("query", "gallery")]
READ = {
    "prepare": ["raw/GENERATED.json", "raw/cam_a/{}", "raw/cam_b/{}", *DATA],
    "prepare mat": ["mat/cuhk-03.mat", "mat/GENERATED.json"],
    "check": DATA,
    "train": [*DATA, f"{RUN}/result.json", *STARTED, *NPZ],
    "half": [*DATA, *SNAPSHOTS, *TABLES, *STARTED, *NPZ[:2], "runs/.features/{}"],
    "train on": ["init.caffemodel", "init.caffemodel.json"],
    "evaluate": NPZ[2:],
    "report": [f"{RUN}/result.json", *TABLES],
    "ranked": [*NPZ[2:], "raw/cam_a/{}", "raw/cam_b/{}"],
    "lineage": [f"{RUN}/result.json", "data/manifest.json", *SNAPSHOTS[:1]],
    "inspect": ["init.caffemodel", "init.caffemodel.json"],
}


def draw_damage(world, random):
    """A Damage of a random file."""
    what = str(random.choice([what for what in READ if what in (*world.names, "half")]))
    file = str(random.choice(READ[what]))
    if file.endswith("{}"):
        file = str(random.choice(sorted(str(path.relative_to(world.base)) for path in
                                        (world.base / file[:-3]).iterdir() if path.is_file())))
    return Damage("train" if what == "half" else what, file, str(random.choice(HOWS)), float(random.random()),
                  int(random.integers(1, 256)), what == "half")


def damaged_file(world, random):
    """A file that a command reads is damaged: it says so, or comes to the same as with the whole file."""
    return damage(world, draw_damage(world, random))


def damage(world, one):
    """The Case of one Damage."""
    command, case = COMMANDS[one.command], Case(str(one))
    kept = ("data", "runs", "raw", "mat", *command.reads)
    products = {*command.reads, one.file.split("/")[0]}
    if one.command == "prepare":
        products |= {"data"}
    if one.half or one.command == "train":
        products |= {"runs", "data"}
    with world.copy(*(name for name in dict.fromkeys(kept) if name in products)) as folder:
        if one.half:
            world.half(folder)
            if one.file.endswith(".rows"):    # read only where the features themselves are not there yet
                shutil.rmtree(folder / RUN / "features/before")
        changed = one.do(folder)
        ending = case.judge(run(one.command, folder), (0, 1, 2))
        if ending.status == 0 and changed and not told(one, ending):
            unread = {one.file} & UNREAD.get(one.command, set())
            case.compare(world, one.command, folder, ending, SILENT, unread)
    return case


def told(one, ending):
    """Whether a command that ended well said of a damaged file that it is not what it should be."""
    if one.command == "ranked" and one.file.startswith("raw/"):
        return True    # a raw picture is shown as it is; nothing that is read with it says what it was
    if one.command in ("evaluate", "ranked") and one.how == "exchanged":
        return True    # another feature file that is whole is what was asked about
    if one.command == "inspect" and one.how == "gone":
        return True    # a file of weights need not have a record
    return any(words in ending.out for words in TOLD.get(one.command, ()))


TOLD = {"inspect": ("NOT this file's",), "lineage": ("changed", "gone"), "train on": ("origin unknown",)}
# Where a training is finished, or was resumed from a later snapshot, these are not read and stay as they are.
UNREAD = {"train": {*NPZ, *STARTED, *SNAPSHOTS[:3]}}


def two_at_once(world, random):
    """The same command twice: one has the folder, the other says so or finds everything done."""
    name = str(random.choice([name for name in world.writers if name not in ("people", "mat")]))
    delay = random.uniform(0, world.seconds[name])
    case = Case(f"{name} twice, {delay:.2f} s apart")
    with world.copy(*COMMANDS[name].reads) as folder:
        first = Running(name, folder)
        time.sleep(delay)
        second = Running(name, folder)
        ended = [case.judge(one.end()) for one in (first, second)]
        if all(one.status for one in ended):
            case.wrong[LOSS] = f"neither ended well: {[one.err[-200:] for one in ended]}"
        case.same(world, name, folder)
    return case


def clock_set_back(world, random):
    """The clock, and the files' times, go back or on by up to ten years between a kill and the resuming."""
    name = str(random.choice(["prepare", "train", "train on", "report"]))
    shift = float(random.uniform(-3e8, 3e8))
    case = Case(f"{name} with the clock {shift:+.0f} s off after a kill")
    with world.copy(*COMMANDS[name].reads) as folder:
        killed_midway(world, random, name, folder)
        for path in folder.rglob("*"):
            if random.integers(2):
                os.utime(path, (time.time() - shift, time.time() - shift), follow_symlinks=False)
        now = time.time

        def off():
            time.time = lambda: now() + shift
            time.time_ns = lambda: int((now() + shift) * 1e9)
        case.judge(run(name, folder, off))
        case.same(world, name, folder)
    return case


NAMES = ("two words", "quote'\"s", "ünïcode 人物", "per%cent %s %d", "-leading", "#hash", "[a-z]*?", "a\\b",
         "$HOME", "tab\tand\nline", "x" * 200, ".hidden", "&;|<>", "{}", "~", "non-utf8 \udcff",
         "comma,semi;colon", "end.")


def odd_name(world, random):
    """The whole world lies in a folder with an odd name."""
    word, name = str(random.choice(NAMES)), str(random.choice(world.names))
    case = Case(f"{name} in a folder called {word!r}")
    with world.copy() as outer:
        folder = outer / word
        folder.mkdir()
        world.fill(folder, *COMMANDS[name].reads)
        if name == "report":    # the runs say that their data lie where they were trained
            world.fill(outer, "data")
        ending = case.judge(run(name, folder))
        if ending.status == 0 and name != "lineage":    # which says that the data are not where they were
            # Weights and pages hold the path of the data, and records the checksum of the weights.
            paths = [key for key in world.outcomes[name]
                     if key.endswith((".caffemodel", "result.json", "start.json", ".html"))]
            case.compare(world, name, folder, ending, SILENT, paths)
            for page in (key for key in paths if key.endswith(".html")):
                plain, odd = ((where / page).read_text().replace(str(join(path)), "@")
                              for where, path in ((world.base, world.case), (folder, folder)))
                if plain != odd:
                    case.wrong[SILENT] = f"{page} says more than another name of its folder"
    return case


FAULTS = {"kills": kill, "full disks": full_disk, "read-only disks": read_only_disk,
          "file-size limits": file_limit, "damaged files": damaged_file, "two at once": two_at_once,
          "clock set back": clock_set_back, "odd names": odd_name}
MOUNTING = "full disks", "read-only disks"
