"""Odd surroundings of a command: signals, few open files, closed or full outputs, no scratch folder."""

import os
import resource
import signal
import tempfile
import time

from faults import ABORT, ORPHAN, TRACEBACK, TRACES, Case
from world import COMMANDS, Running, run

STOPPED = 130    # the status of a command that a signal stopped in good order
ENDINGS = {signal.SIGINT: (STOPPED,), signal.SIGTERM: (STOPPED, -signal.SIGTERM),
           signal.SIGHUP: (-signal.SIGHUP,), signal.SIGQUIT: (-signal.SIGQUIT,),
           signal.SIGALRM: (-signal.SIGALRM,), signal.SIGCONT: ()}
"""How a command may end, but for well, that a signal came to; SIGCONT: it is halted before."""


def signalled(world, random):
    """A signal comes at one or two random moments, to the main process or to all; then the same again."""
    name, group = str(random.choice(world.writers)), bool(random.integers(2))
    number = list(ENDINGS)[random.integers(len(ENDINGS))]
    delays = sorted(random.uniform(0, 1.1 * world.seconds[name], random.integers(1, 3)))
    case = Case(f"{number.name} to {name}, {'all its processes' if group else 'the main process'}, after "
                + ", ".join(f"{delay:.2f} s" for delay in delays))
    with world.copy(*COMMANDS[name].reads) as folder:
        running = Running(name, folder)
        for delay in delays:
            while time.monotonic() < running.began + delay and running.alive():
                time.sleep(.002)
            if number == signal.SIGCONT:
                running.send(signal.SIGSTOP, group)
                time.sleep(.1)
            running.send(number, group)
        ending = running.end()
        case.ended = "well" if ending.status == 0 else "killed"
        if ending.status not in (0, *ENDINGS[number]):
            case.wrong[ABORT] = f"status {ending.status}: {ending.err[-600:]}"
        if any(trace in ending.err for trace in TRACES):
            case.wrong[TRACEBACK] = ending.err[-1200:]
        if left := running.orphans():
            case.wrong[ORPHAN] = f"processes {left} live on"
        case.same(world, name, folder)
    return case


BESIDE = {"prepare": ("check", "train", "report"),
          "train": ("report", "evaluate", "ranked", "lineage", "check", "prepare")}
"""Which commands use what another one is making; "train" is one that was killed before."""


def two_kinds_at_once(world, random):
    """A command while another makes what it reads: either says so, and both come to the same afterwards."""
    name = str(random.choice(list(BESIDE)))
    other, delay = str(random.choice(BESIDE[name])), random.uniform(0, world.seconds[name])
    case = Case(f"{other} {delay:.2f} s after {name}")
    parts = {*COMMANDS[name].reads, *COMMANDS[other].reads, *(["runs"] if name == "train" else [])}
    with world.copy(*sorted(parts - {*(["data"] if name == "prepare" else [])})) as folder:
        if "runs" in parts:
            world.half(folder)
        first = Running(name, folder)
        time.sleep(delay)
        second = Running(other, folder)
        for ending in (second.end(), first.end()):
            case.judge(ending, (0, 1, 2))
        case.same(world, name, folder)
        if "runs" in parts:
            case.same(world, "train", folder)
        if other == "report":    # a page shows when each run was finished, and this one was finished again
            case.judge(run(other, folder), (0,))
        else:
            case.same(world, other, folder)
    return case


def odd_surroundings(world, random):
    """A command has few open files, lacks streams, has a full output, or no folder for scratch files."""
    name, what = str(random.choice(world.names)), list(SURROUNDINGS)[random.integers(len(SURROUNDINGS))]
    number = int(random.integers(64))
    case = Case(f"{name} with {what} ({number})")
    with world.copy(*COMMANDS[name].reads) as folder:
        ending = run(name, folder, lambda: SURROUNDINGS[what](number))
        if what != "closed streams":    # else there is no sentence to be read
            case.judge(ending)
        elif ending.status != 0:
            case.wrong[TRACEBACK] = f"status {ending.status}: {ending.err[-600:]}"
        case.same(world, name, folder)
    return case


def _few_files(number):
    resource.setrlimit(resource.RLIMIT_NOFILE, (24 + number,) * 2)


def _close(number):
    for stream in range(3):
        if number & 1 << stream:
            os.close(stream)


def _full(number):
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def _no_scratch(number):
    tempfile.tempdir, os.environ["TMPDIR"] = None, "/nowhere"
    os.environ.pop("HOME", None)


SURROUNDINGS = {"few open files": _few_files, "closed streams": _close, "a full output": _full,
                "no folder for scratch files": _no_scratch}
