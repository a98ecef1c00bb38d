"""A run that starts from a file of weights with a record, taken through everything that reads its result."""

import re

import programs
import pytest
from stages import SHORT, run_stage, tiny_job

from reid.engine.settings import defaults
from reid.formats import result as result_file, weights_record
from reid.formats.snapshot import WEIGHTS
from reid.report.results import gather


@pytest.fixture(scope="module")
def runs(short_runs, prepared_viper, tmp_path_factory):
    """The folder of a run of two iterations from people.caffemodel, which two other iterations made."""
    folder = tmp_path_factory.mktemp("from_file")
    weights, first = folder / "people.caffemodel", short_runs / "viper/split00/snapshots/000002" / WEIGHTS
    weights_record.write(weights, first.read_bytes(), name="people", base="tiny", mean=defaults("tiny").mean,
                         origin="two iterations", licence="free")
    run_stage(tiny_job(prepared_viper, folder / "runs", *SHORT, init=weights), [0])
    return folder / "runs"


def say(tool, *arguments):
    done = programs.run(f"tools/{tool}", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_result_names_the_file_and_its_record(runs):
    result = result_file.read(runs / "viper/split00")
    assert result.parent["name"] == "people" and result.parent_stage is None
    assert result.init["file"] == "people.caffemodel" and result.lineage[0]["origin"] == "two iterations"


def test_it_is_reported_under_the_name_of_the_file(runs, tmp_path):
    said = say("report.py", "--runs", runs, "--out", tmp_path / "report")
    assert "tiny (V+I) from people.caffemodel, after 2 iterations" in said
    assert gather(runs)[0].groups[0].name == "tiny (V+I) from people.caffemodel"
    assert "tiny (V+I) from people.caffemodel" in (tmp_path / "report/report.html").read_text()


def test_its_lineage_ends_at_the_record(runs):
    start = say("lineage.py", runs / "viper/split00").rpartition("from ")[2]
    assert start.startswith("people: two iterations; licence free")


def test_its_ranked_lists_are_drawn(runs, generated_viper, tmp_path):
    features = runs / "viper/split00/features/after"
    said = say("ranked_lists.py", "--query", features / "query.npz", "--gallery", features / "gallery.npz",
               "--protocol",
               "single-shot", "--images", generated_viper, "--out", tmp_path / "worst.html", "--worst", 2)
    assert "2 queries" in said
    said = say("ranked_lists.py", "--run", runs / "viper/split00", "--out", tmp_path / "run.html", "--worst",
               2)
    texts = [re.findall("<p>(identity[^<]*)", (tmp_path / f"{name}.html").read_text())
             for name in ("worst", "run")]
    assert len(texts[0]) == 2 and texts[0] == texts[1]
