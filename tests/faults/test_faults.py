"""The campaign of docs/reliability.md, a few cases of each kind; run.py beside this runs it at length."""

import subprocess
import sys
from pathlib import Path

CASES = {"kills": 1, "full-disks": 1, "read-only-disks": 1, "limits": 2, "files": 12, "twice": 1,
         "clocks": 1, "names": 1, "people": 1, "forged": 3, "signals": 1, "kinds": 1, "surroundings": 1}


def test_nothing_is_lost_changed_silently_or_ends_in_a_traceback():
    """In a process of its own: it forks, and Caffe computed with several threads may not in this one."""
    counts = [text for option, count in CASES.items() for text in (f"--{option}", str(count))]
    program = Path(__file__).with_name("run.py")
    ended = subprocess.run([sys.executable, program, "--brief", "--seed", "1", *counts], capture_output=True,
                           text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [line for line in ended.stdout.splitlines() if line.startswith("|")][2:]
    tried = {row.split("|")[1].strip(): int(row.split("|")[2]) for row in rows}
    assert len(tried) >= len(CASES) - 2    # two of them mount a small disk, which takes root
    assert all(tried.values()) and sum(tried.values()) >= sum(CASES.values()) - 2
