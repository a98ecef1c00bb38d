"""Errors that the person at the keyboard can mend, and the end of all others."""

import functools
import os
import re
import sys
import tempfile
import traceback


class InputError(ValueError):
    """Something that was given cannot be used; the message names the file, the value and the way out."""


def command_line(main):
    """Decorate a command's `main`: any exception ends as one line on stderr and exit status 2.

    InputError and OSError say all there is to say. Any other is a fault of the program, and the line names a
    log that holds the traceback. Output that the terminal cannot show is escaped.
    """
    @functools.wraps(main)
    def guarded(*arguments):
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            return main(*arguments)
        except (InputError, OSError) as error:
            return _end(str(error))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            return _end(f"unexpected {type(error).__name__}: {error}{_log()}")
    return guarded


def _end(text: str) -> int:
    """Print an error in one line, and return the exit status."""
    print("error:", re.sub(r"\s*\n\s*", " ", text), file=sys.stderr)
    return 2


def _log() -> str:
    """Write the traceback of the exception that is handled to a file, and return where it is, in words."""
    try:
        descriptor, path = tempfile.mkstemp(prefix="reid-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(traceback.format_exc())
    except OSError:
        return "; no log of it can be written"
    return f"; the traceback is in {path}"
