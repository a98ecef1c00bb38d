"""Not a test: a program of the project in this process, which has most of its imports, or in a fork of it."""

import multiprocessing
import os
import resource
import runpy
import subprocess
import sys
import traceback
from pathlib import Path

import cv2

from reid.engine.device import use_threads

ROOT = Path(__file__).resolve().parents[1]


def run(program, *arguments, largest_file=resource.RLIM_INFINITY):
    """What subprocess.run says of a program: a file below the project's folder, or the name of a module.

    largest_file: bytes beyond which no file can grow in it, as on a disk that is full. What it prints has to
    fit into a pipe.
    """
    pipes = os.pipe(), os.pipe()
    process = os.fork()
    if not process:
        for number, (_, pipe) in enumerate(pipes, 1):
            os.dup2(pipe, number)
        _live(program, arguments, largest_file)
    said = []
    for mine, others in pipes:
        os.close(others)
        with open(mine, encoding="utf-8") as pipe:
            said.append(pipe.read())
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return subprocess.CompletedProcess([program, *arguments], status, *said)


def begin(program, *arguments):
    """A multiprocessing.Process that runs a program, named as in `run`."""
    process = multiprocessing.get_context("fork").Process(target=_live, args=(program, arguments))
    process.start()
    return process


def start(program):
    """Run a program, named as in `run`, in this process, whose sys.path it changes."""
    if program.endswith(".py"):
        sys.path.insert(0, str((ROOT / program).parent))
        runpy.run_path(str(ROOT / program), run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def _live(program, arguments, largest_file=resource.RLIM_INFINITY):
    """The child's life; does not return."""
    status = 99
    try:
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
        sys.argv = [str(program), *map(str, arguments)]
        os.environ["OMP_NUM_THREADS"] = "1"
        use_threads(1)    # the parent's threads, these and OpenCV's, do not exist on this side of the fork
        cv2.setNumThreads(0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        start(program)
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
