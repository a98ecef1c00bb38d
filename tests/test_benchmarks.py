"""benchmarks/run.py: what it says of a busy machine, which figure it calls better, and the page it writes."""

import importlib.util
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from reid.common.errors import InputError

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def load(name):
    path = BENCHMARKS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmarks_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run, entries = load("run"), load("entries")


def entry(idle, unit="s", higher=False, **more):
    row = {"what": "x", "ours": 2.0, "unit": unit, "higher_is_better": higher, "peer": 5.0,
           "peer_is": "a loop", "limit": 1.0, "limit_is": "a copy", "memory": 3 * 2 ** 20}
    return {"entry": "feed", "machine": "m", "date": "d", "seconds": 1, "busy_before": 0, "busy_after": 1.5,
            "idle": idle, "rows": [{**row, **more}], "about": "What it is.", "peak": 7 * 2 ** 20}


@pytest.mark.parametrize("higher, ratios", [(False, ("2.50 ×", "0.50 ×")), (True, ("0.40 ×", "2.00 ×"))])
def test_a_ratio_above_one_is_better(higher, ratios):
    line = run.table(entry(True, higher=higher)).splitlines()[-1]
    assert line == f"| x | 2 s | 5 s (a loop) | {ratios[0]} | 1 s (a copy) | {ratios[1]} | 3 MiB |"


def test_a_busy_machine_gives_no_ratio_of_times_but_of_bytes():
    assert " × " not in run.table(entry(False)) and run.table(entry(False)).count("not idle") == 2
    assert "2.50 ×" in run.table(entry(False, "MiB"))
    assert "**not idle**: others used 0.00 cores before and 1.50 after" in run.page({"feed": entry(False)})


def test_a_missing_peer_is_explained():
    line = run.table(entry(True, peer=None, peer_is="none exists")).splitlines()[-1]
    assert line == "| x | 2 s | none exists | – | 1 s (a copy) | 0.50 × | 3 MiB |"


def test_the_page_is_put_together_from_what_was_measured_before(monkeypatch, tmp_path):
    asked = []

    def measured(name, options):
        asked.append(name)
        curve = {"name": "gallery", "unit": "images", "sizes": [10, 100], "seconds": [1, 10], "slope": 1.0}
        return {"rows": entry(True)["rows"], "about": "What it is.", "peak": 1, "curves": [curve],
                "text": "| layers |"}

    def page(*words):
        monkeypatch.setattr(sys, "argv", ["run.py", "--out", str(tmp_path / "out"), "--markdown",
                                          str(tmp_path / "page.md"), *words])
        assert run.main() == 0
        return (tmp_path / "page.md").read_text()

    monkeypatch.setattr(run, "measured", measured)
    monkeypatch.setattr(run, "busy", lambda: 0)
    first = page("--entry", "growth", "layers")
    assert asked == ["growth", "layers"]
    assert "Not measured: `.venv/bin/python benchmarks/run.py --entry setup`" in first
    assert "Not measured: `.venv/bin/python benchmarks/run.py --entry feed`" in first
    assert "| layers |" in first and "(growth-gallery.svg)" in first
    drawn = (tmp_path / "growth-gallery.svg").read_text()
    assert ElementTree.fromstring(drawn).tag.endswith("svg") and "slope 1.00" in drawn
    whole = page()
    assert asked[2:] == [name for name in run.ENTRIES if name not in ("growth", "layers", "setup")]
    assert whole.count("Not measured") == 1    # set-up has to be asked for


def test_every_entry_is_a_function_and_says_how_its_limit_was_worked_out():
    for name in run.ENTRIES:
        assert "limit" in getattr(entries, name).__doc__


def test_memory_counts_what_was_given_back():
    _, memory = entries.with_memory(lambda: np.ones(2 ** 23))
    assert 50 * 2 ** 20 < memory < 100 * 2 ** 20


def test_growth_is_drawn_from_what_was_measured(monkeypatch):
    tiny = {"gallery": (17_000, 20_000), "values": (4, 8), "epochs": (1, 3), "splits": (1, 2),
            "people": (4, 8)}
    monkeypatch.setattr(entries, "GROWTH", tiny)
    monkeypatch.setattr(entries, "PEOPLE", 6)
    found = entries.growth(None)
    assert [curve["name"] for curve in found["curves"]] == ["gallery", "feature length", "pairs", "splits",
                                                            "identities"]
    pairs = found["curves"][2]["sizes"]
    assert pairs[1] > 2 * pairs[0] > 0
    for curve in json.loads(json.dumps(found["curves"])):
        assert ElementTree.fromstring(run.plot(curve)).tag.endswith("svg")
    assert run.table({"idle": True, **found}).count("power of growth") == 5


def test_features_are_compared_before_they_are_timed(tmp_path):
    extract = load("extract/run")
    assert extract.child(sys.executable, "write", tmp_path, "64x64", 8)["operations"] > 5e8
    assert extract.child(sys.executable, "opencv", tmp_path, "64x64")["apart"] < 1e-5
    np.save(tmp_path / "features.npy", 1.01 * np.load(tmp_path / "features.npy"))
    with pytest.raises(InputError, match="opencv, 64x64: its features are not Caffe's: apart by 9.9e-03"):
        extract.child(sys.executable, "opencv", tmp_path, "64x64")
