"""benchmarks/run.py: what it says of a busy machine, which figure it calls better, and the page it writes."""

import json
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import entries, run
from benchmarks.alone import run_alone
from benchmarks.extract import measure
from reid.common.errors import InputError


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
    for name, count in (("QUERIES", 60), ("JUNK", 20), ("DISTRACTORS", 10), ("GALLERY", 200), ("PEOPLE", 9)):
        monkeypatch.setattr(entries.evaluation, name, count)
    monkeypatch.setattr(entries, "GROWTH", {"gallery": (200, 300), "values": (4, 8), "epochs": (1, 3),
                                            "splits": (1, 2), "people": (4, 8)})
    monkeypatch.setattr(entries, "PEOPLE", 6)
    found = entries.growth(None)
    assert [curve["name"] for curve in found["curves"]] == ["gallery", "feature length", "pairs", "splits",
                                                            "identities"]
    pairs = found["curves"][2]["sizes"]
    assert pairs[1] > 2 * pairs[0] > 0
    curves = json.loads(json.dumps(found["curves"]))
    assert ElementTree.fromstring(run.plot(curves[0])).tag.endswith("svg")
    assert all(curve.keys() == curves[0].keys() for curve in curves)
    assert run.table({"idle": True, **found}).count("power of growth") == 5


def test_the_line_of_a_curve_is_the_fitted_one(monkeypatch):
    sizes, seconds = np.array([10, 30, 70, 200]), np.array([1, 2, 9, 12])
    slope, height = np.polyfit(np.log(sizes), np.log(seconds), 1)
    from matplotlib.axes import Axes
    drawn = []
    monkeypatch.setattr(Axes, "loglog", lambda axes, x, y, *form, **how: drawn.append(y))
    run.plot({"name": "n", "unit": "u", "sizes": list(sizes), "seconds": list(seconds), "slope": slope})
    np.testing.assert_allclose(drawn[1], np.exp(height) * sizes ** slope)


def test_features_are_compared_before_they_are_timed(tmp_path):
    def measured(*arguments):
        return run_alone(measure.__file__, *arguments)
    assert measured("write", tmp_path, "64x64", 8)["operations"] > 5e8
    assert measured("opencv", tmp_path, "64x64")["apart"] < 1e-5
    features = np.load(tmp_path / "features.npy")
    with pytest.raises(SystemExit, match="its features are not Caffe's: apart by 9.9e-03"):
        measure.compare(features, 1.01 * features)


def test_what_a_process_says_is_read_or_passed_on(tmp_path, capfd):
    (tmp_path / "x.py").write_text(
        "import sys; print('a'); print([1]) if sys.argv[1] == 'well' else sys.exit('ill')")
    assert run_alone(tmp_path / "x.py", "well") == [1]
    with pytest.raises(InputError, match="x.py badly: ended with status 1"):
        run_alone(tmp_path / "x.py", "badly")
    assert capfd.readouterr().err == "ill\n"
