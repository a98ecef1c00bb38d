"""The campaign of docs/reliability.md, a few cases of each kind; run.py beside this runs it at length."""

from collections import Counter
from pathlib import Path

import pytest
from faults import FAULTS, WRONG, Damage, can_mount, damage
from run import campaign
from world import COMMANDS, World
from yaml import safe_load

CORPUS = safe_load(Path(__file__).with_name("corpus.yaml").read_text())
CASES = {"kills": 2, "full disks": 2, "file-size limits": 2, "damaged files": 12, "two at once": 1,
         "clock set back": 1, "odd names": 2}
SEED = 1


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    names = [name for name in COMMANDS if "mat" not in name]    # a .mat takes long to draw
    return World(tmp_path_factory.mktemp("faults") / "world", names)


@pytest.mark.parametrize("kind", FAULTS)
def test_nothing_is_lost_changed_silently_or_ends_in_a_traceback(world, kind, capsys):
    if kind == "full disks" and not can_mount():
        kind = "file-size limits"    # which need no right to mount a disk, and stand for it
    counts = Counter()
    campaign(world, kind, CASES[kind], SEED, 0, counts)
    assert counts["cases"] == CASES[kind]
    assert not any(counts[wrong] for wrong in WRONG), capsys.readouterr().out


@pytest.mark.parametrize("number", range(len(CORPUS)))
def test_what_once_broke_does_not(world, number):
    """corpus.yaml keeps the damaged files that the campaign found something wrong with."""
    case = damage(world, Damage(**CORPUS[number]))
    assert not case.wrong, case
