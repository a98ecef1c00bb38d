"""Errors that the person at the keyboard can mend."""

import functools
import sys


class InputError(ValueError):
    """Something that was given cannot be used; the message names the file, the value and the way out."""


def command_line(main):
    """Decorate a command's `main`: InputError and OSError end as one line on stderr and exit status 2."""
    @functools.wraps(main)
    def guarded(*arguments):
        try:
            return main(*arguments)
        except (InputError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
    return guarded
