"""benchmarks/run.py: what it says of a busy machine, and which figure it calls better."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "benchmarks/run.py"
SPEC = importlib.util.spec_from_file_location("benchmarks_run", PATH)
run = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run)


def entry(idle, unit="s", higher=False):
    row = {"what": "x", "ours": 2.0, "unit": unit, "higher_is_better": higher, "peer": 5.0,
           "peer_is": "a loop", "limit": 1.0, "limit_is": "a copy", "memory": 3 * 2 ** 20}
    return {"entry": "feed", "machine": "m", "date": "d", "seconds": 1, "busy_before": 0, "busy_after": 1.5,
            "idle": idle, "rows": [row]}


@pytest.mark.parametrize("higher, ratios", [(False, ("2.50 ×", "0.50 ×")), (True, ("0.40 ×", "2.00 ×"))])
def test_a_ratio_above_one_is_better(higher, ratios):
    line = run.table(entry(True, higher=higher)).splitlines()[-1]
    assert line == f"| x | 2 s | 5 s (a loop) | {ratios[0]} | 1 s (a copy) | {ratios[1]} | 3 MiB |"


def test_a_busy_machine_gives_no_ratio_of_times_but_of_bytes():
    assert " × " not in run.table(entry(False)) and run.table(entry(False)).count("not idle") == 2
    assert "2.50 ×" in run.table(entry(False, "MiB"))
    assert "others used 1.5 cores" in run.page([entry(False)])
