"""InputError, for what the user can correct, and how every command line ends on an error."""

import argparse
import errno
import functools
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import NoReturn

from reid.common import interrupt


class InputError(ValueError):
    """An input cannot be used; the message names the file, the value and what to do."""


class Parser(argparse.ArgumentParser):
    """Of a command's arguments: what it refuses is an InputError, and so one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise InputError(f"{message}; {self.prog} --help says what there is")


def command_line(main: Callable[..., int | None]) -> Callable[..., int | None]:
    """Decorate a command's `main`: any exception ends as one line on stderr and exit status 2.

    The messages of InputError and OSError are enough for the user. Any other exception is a bug of the
    program, and the line names a log that holds the traceback. Characters that the terminal cannot show are
    escaped.
    """
    @functools.wraps(main)
    def guarded(*arguments: list[str] | None) -> int | None:
        interrupt.raise_again()
        _keep_standard_streams()
        for name in ("stdout", "stderr"):    # one that is closed is None, which progress bars do not expect
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "w"))
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            _refuse_empty(arguments[0] if arguments and arguments[0] is not None else sys.argv[1:])
            status = main(*arguments)
            sys.stdout.flush()
            return status
        except BrokenPipeError:    # what reads the output, such as `| head`, has had enough
            _discard_output()
            return 128 + signal.SIGPIPE
        except (InputError, OSError) as error:
            try:
                sys.stdout.flush()
            except OSError as failure:    # such as a full disk
                _discard_output()
                if isinstance(error, OSError) and not error.filename:
                    return _end(f"standard output: {failure.strerror}; send it where there is room")
            return _end(f"{error}{_way_out(error)}")
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            return _end(f"unexpected {type(error).__name__}: {error}{_log()}")
    return guarded


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse an empty argument: as a folder it would be the current one."""
    for number, argument in enumerate(arguments):
        if not argument or re.fullmatch(r"--[\w-]+=", argument):
            before = argument or (f"after {arguments[number - 1]}" if number else "the first")
            raise InputError(f"command line: an argument ({before}) is empty; a shell variable in it may not "
                             "be set")


def _keep_standard_streams() -> None:
    """Open what is closed of descriptors 0 to 2: else a file gets it, and what C libraries say goes there."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _way_out(error: Exception) -> str:
    """What to do about an OSError whose own message does not show it, as a phrase."""
    files = getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE)
    return "; allow this process more open files (ulimit -n)" if files else ""


def _discard_output() -> None:
    """Let the rest of the standard output go nowhere: Python flushes it at its end, and would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(text: str) -> int:
    """Print an error in one line, and return the exit status."""
    print("error:", re.sub(r"\s*\n\s*", " ", text), file=sys.stderr)
    return 2


def _log() -> str:
    """Write the traceback of the current exception to a file, and return a phrase that says where it is."""
    try:
        descriptor, path = tempfile.mkstemp(prefix="reid-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(traceback.format_exc())
    except OSError:
        return "; no log of it can be written"
    return f"; the traceback is in {path}"
