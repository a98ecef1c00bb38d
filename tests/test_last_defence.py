"""Whatever happens in a command, it ends in one line; an unexpected one leaves its traceback in a log."""

import ast
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from reid.common import interrupt
from reid.common.errors import InputError, command_line

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def logs(tmp_path, monkeypatch):
    """The folder of temporary files of this test alone."""
    (tmp_path / "logs").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "logs"))
    return tmp_path / "logs"


def ended(error, capsys):
    """Exit status and stderr of a command that raises `error`."""
    @command_line
    def main():
        raise error
    return main(), capsys.readouterr().err


@pytest.mark.parametrize("error", [
    KeyError("seed"), RecursionError("too deep"), MemoryError(), ZeroDivisionError("1/0"),
    UnicodeEncodeError("ascii", "\u00e4", 0, 1, "ordinal"), RuntimeError("two\n  lines")])
def test_any_exception_is_one_line_that_names_a_log(error, capsys, logs):
    status, said = ended(error, capsys)
    assert status == 2 and said.count("\n") == 1
    name = type(error).__name__
    found = re.fullmatch(rf"error: unexpected {name}: .*; the traceback is in (\S+\.log)\n", said)
    log = Path(found[1]).read_text()
    assert log.startswith("Traceback (most recent call last)") and name in log and "raise error" in log
    assert Path(found[1]).parent == logs


def test_without_room_for_the_log_the_line_stays(capsys, monkeypatch, logs):
    monkeypatch.setattr(tempfile, "tempdir", str(logs / "gone"))
    status, said = ended(KeyError("seed"), capsys)
    assert status == 2 and said == "error: unexpected KeyError: 'seed'; no log of it can be written\n"


def test_what_was_foreseen_leaves_no_log(capsys, logs):
    for error, status, said in ((InputError("a file\nof two lines"), 2, "error: a file of two lines\n"),
                                (FileNotFoundError(2, "Gone", "x"), 2, "error: [Errno 2] Gone: 'x'\n"),
                                (OSError(24, "Full", "x"), 2, "error: [Errno 24] Full: 'x'; allow this "
                                 "process more open files (ulimit -n)\n"),
                                (KeyboardInterrupt(), 130, "interrupted\n")):
        assert ended(error, capsys) == (status, said)
    assert not list(logs.iterdir())


@pytest.mark.parametrize("arguments, which", [
    (["--out", ""], "after --out"), (["--out="], "--out="), ([""], "the first")])
def test_an_empty_argument_is_refused(arguments, which, capsys, monkeypatch):
    """`--out "$runs"` where nobody has set `runs` would write to the current folder."""
    main = command_line(lambda arguments=None: 0)
    for given in [(arguments,), (None,), ()]:
        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        assert main(*given) == 2
        assert capsys.readouterr().err == (f"error: command line: an argument ({which}) is empty; a shell "
                                           "variable in it may not be set\n")
    assert main(["--set", "mean=", "-", "--out", "x"]) == 0


def test_output_that_cannot_be_encoded_is_escaped():
    command = ("import sys\nfrom reid.common.errors import command_line\n@command_line\ndef main():\n"
               "    print('256\u00d7256 \\udcff')\n    return 0\nsys.exit(main())\n")
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True,
                          env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT / "python")})
    assert (done.returncode, done.stdout) == (0, "256\\xd7256 \\udcff\n"), done.stderr


@pytest.mark.parametrize("closed, statuses", [("| head -1", (0, 141)), ("2>&-", (0,)), (">&-", (0,)),
                                              (">&- 2>&-", (0,)), (">/dev/full", (2,))])
def test_output_that_nobody_reads(generated_viper, prepared_viper, tmp_path, closed, statuses):
    """What reads a pipe may have had enough, and a service may have no output at all."""
    command = (f"-m data_prep viper --raw {generated_viper} --out {tmp_path / 'out'} --split 0 --epochs 1"
               if "&-" in closed else f"-m data_prep.check {prepared_viper}")
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{sys.executable} {command} {closed}"], cwd=ROOT,
                          capture_output=True, text=True, env=buffered)
    assert done.returncode in statuses, done
    assert done.stderr.count("error: standard output: ") == (done.returncode == 2)
    assert "Traceback" not in done.stderr


def test_a_closed_stream_is_no_other_file():
    """Caffe and the libraries of pictures write to descriptor 2, whatever lies behind it."""
    command = ("import os, sys\nfrom reid.common.errors import command_line\n@command_line\ndef main():\n"
               "    opened = open('/etc/passwd')\n    return opened.fileno()\n"
               "sys.exit(main())\n")
    done = subprocess.run(["bash", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, command],
                          env={"PYTHONPATH": str(ROOT / "python")})
    assert done.returncode > 2


PROGRAMS = [path for folder in ("tools", "data_prep", "weights")
            for path in sorted((ROOT / folder).rglob("*.py")) if "@command_line\n" in path.read_text()]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_ctrl_c_during_the_imports_ends_a_program(program):
    """What stands first in it sees to that: some imports would swallow a KeyboardInterrupt."""
    _, first, second, *_ = ast.parse(program.read_text()).body
    assert ast.unparse(first) == "from reid.common import interrupt"
    assert ast.unparse(second) == "if __name__ == '__main__':\n    interrupt.end_at_once()"


def test_ctrl_c_while_pycaffe_is_imported():
    """The caffe/io.py of pycaffe goes on after any exception in its imports.

    The signal is set first: where the tests run in the background, it is ignored.
    """
    command = ("import os, runpy, signal, sys\n"
               "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
               "class Finder:\n"
               "    def find_spec(name, path=None, target=None):\n"
               "        if name == 'google.protobuf':\n"
               "            os.kill(os.getpid(), signal.SIGINT)\n"
               "sys.meta_path.insert(0, Finder)\n"
               "sys.argv[1:] = ['--help']\n"
               "runpy.run_path('tools/lineage.py', run_name='__main__')\n")
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_raises_again_in_main():
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt.end_at_once()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert command_line(lambda: signal.getsignal(signal.SIGINT))() is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)    # as a shell starts what is to run behind
        interrupt.end_at_once()
        assert command_line(lambda: signal.getsignal(signal.SIGINT))() is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
