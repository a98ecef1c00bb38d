"""docs/faithfulness.md names files, settings and options that exist, and each row says what it is."""

import re
from pathlib import Path

import programs
import pytest

from reid.engine.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs/faithfulness.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| the paper"))]
# What the last column names: options of a command, and settings, where a name stands without dashes.
PROGRAMS = {name: name for name in ("data_prep", "tools/evaluate.py", "tools/report.py")}
PROGRAMS[""] = "tools/train_stage.py"


def test_every_row_is_whole_and_says_what_it_is():
    assert len(ROWS) > 40
    for row in ROWS:
        assert len(row) == 4 and all(row), row


def test_every_file_exists():
    named = {name for row in ROWS for name in re.findall(r"`([\w./-]+/[\w./-]+)`", row[1])}
    assert len(named) > 25
    folders = ROOT / "python/reid", ROOT
    missing = [name for name in named if not any((folder / name).exists() for folder in folders)]
    assert not missing


def test_every_switch_exists():
    """In a cell a command's name stands before its options; train_stage.sh's stand alone."""
    helps, settings = {}, set(Settings.__dataclass_fields__)
    checked = 0
    for row in ROWS:
        command = ""
        for span in re.findall(r"`([^`]+)`", row[3]):
            words = span.split()
            command = words[0] if words[0] in PROGRAMS else command
            for word in words:
                if word.startswith("--"):
                    if command not in helps:
                        helps[command] = programs.run(PROGRAMS[command], "--help").stdout
                    assert word in helps[command], (span, command)
                    checked += 1
                elif not (command or words[0].startswith("--") or span == "verification_head: restart"):
                    assert word.partition("=")[0] in settings, span
                    checked += 1
    assert checked > 30


@pytest.mark.parametrize("page", ["README.md", "docs/choices.md"])
def test_the_page_is_linked(page):
    assert "faithfulness.md" in (ROOT / page).read_text()
