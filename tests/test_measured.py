"""The committed results on real datasets: the report reads them, and docs/results.md says what they say."""
from pathlib import Path

import pytest

from reid.formats import result as result_file
from reid.report.results import gather

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "experiments/measured"
RESULTS = sorted(file.parent for file in MEASURED.rglob(result_file.NAME))


def cell(figures):
    """Rank-1 / mAP, the dataset's own, in percent, as the document has them."""
    return f"{100 * figures['cmc']['1']:.1f} / {100 * figures['mAP']['trapezoid']:.1f}"


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: str(folder.relative_to(MEASURED)))
def test_the_document_says_what_was_measured(folder):
    result = result_file.read(folder)
    text = (ROOT / "docs/results.md").read_text()
    for figures in (result.before, result.after):
        row = [figures, *figures["multi_query"].values()] if "multi_query" in figures else [figures]
        plain = text.replace("*", "")
        assert "| " + " | ".join(map(cell, row)) + " |" in plain
    assert f"| {cell(result.histogram)} |" in text and f"{result.iterations:,} iterations" in text


def test_they_are_of_real_people_and_carry_no_path_of_a_machine():
    sections = gather(MEASURED)
    assert RESULTS and not any(section.generated for section in sections)
    assert not any('"/' in (folder / result_file.NAME).read_text() for folder in RESULTS)
