"""The committed results on real datasets: docs/results.md, docs/report.html and README say what they say."""

import shutil
from pathlib import Path

import pytest
from records import edit

from reid.formats import result as result_file
from reid.report.results import gather
from tools import make_docs, report

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "experiments/measured"
RESULTS = sorted(file.parent for file in MEASURED.rglob(result_file.NAME))


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: str(folder.relative_to(MEASURED)))
def test_the_page_says_what_was_measured(folder):
    result, page = result_file.read(folder), (ROOT / "docs/report.html").read_text()
    for figures in filter(None, (result.before, result.after, result.histogram)):
        cells = [100 * figures["cmc"][rank] for rank in ("1", "5", "10", "20")]
        cells += [100 * figures["mAP"][kind] for kind in ("trapezoid", "step")]
        assert "".join(f"<td>{value:.2f}</td>" for value in cells) in page
    assert f"{result.iterations:,} iterations" in page


def changed(tmp_path, run, change):
    """The measured results in `tmp_path`, with a change in the one of a run."""
    shutil.copytree(MEASURED, tmp_path / "measured")
    edit(tmp_path / "measured" / run / result_file.NAME, change)


def test_a_changed_result_makes_the_documents_stale(tmp_path, monkeypatch):
    """One more point of rank-1: the page, the tables and the README would be others; all else would stay."""
    def better(result):
        result["after"]["cmc"]["1"] += .01
    changed(tmp_path, "short/cuhk03/split00", better)
    before = make_docs.files()
    monkeypatch.setattr(make_docs, "MEASURED", tmp_path / "measured")
    after = make_docs.files()
    assert {path.name for path in before if before[path] != after[path]} == {"report.html", "results.md",
                                                                             "README.md"}


def test_the_readme_says_which_run_was_at_another_size(tmp_path):
    changed(tmp_path, "short/cuhk03/split00", lambda result: result["settings"].update(input=[160, 80]))
    assert "Ours (ResNet-50) on CUHK03 at 160×80" in make_docs.best(report.load(tmp_path / "measured"))


def test_they_are_of_real_people_and_carry_no_path_of_a_machine():
    sections = gather(MEASURED)
    assert RESULTS and not any(section.generated for section in sections)
    assert not any('"/' in (folder / result_file.NAME).read_text() for folder in RESULTS)
