"""Ctrl-C while a program still imports what it needs: it ends the program at once.

A KeyboardInterrupt would not: pycaffe, OpenCV and what Cython compiled swallow one while they are imported,
so that the program runs on, and protobuf crashes on it.
"""

import signal


def end_at_once() -> None:
    """Let Ctrl-C end this process, until `raise_again`; one that is ignored stays ignored.

    A program calls it before its other imports.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_again() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again; `reid.common.errors.command_line` calls it before `main`."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
