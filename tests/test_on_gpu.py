"""benchmarks/train/on_gpu.sh: each part ends in time, whatever its steps do, and says what failed."""
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks/train/on_gpu.sh"
PARTS = ("tests", "upstream", "layers", "speed")


@pytest.fixture
def tree(tmp_path):
    """The script with two seconds for a part, killing after one, among programs that never end."""
    text = SCRIPT.read_text()
    for right, short in (("+ 570)", "+ 2)"), ("-k 10 ", "-k 1 ")):
        assert text.count(right) == 1
        text = text.replace(right, short)
    for name in ("benchmarks/train/on_gpu.sh", "tools/doctor", "tools/caffe_gtest.sh", ".venv/bin/python",
                 "bin/nvidia-smi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "benchmarks/train/on_gpu.sh").write_text(text)
    return tmp_path


def run(tree, *words):
    return subprocess.run([tree / "benchmarks/train/on_gpu.sh", *words], capture_output=True, text=True,
                          cwd=tree, env={"PATH": f"{tree}/bin:/usr/bin:/bin"}, timeout=60)


@pytest.mark.parametrize("part", PARTS)
def test_steps_that_never_end_are_cut_off_and_the_others_not_begun(tree, part):
    ended = run(tree, part, "out")
    first, *others = re.findall(r"^(\S+): (exit status \d+|not started)", ended.stdout, re.MULTILINE)
    assert ended.returncode == 1 and first[1] in ("exit status 137", "exit status 124")
    assert "cut off after " in (tree / "out" / f"{first[0]}.txt").read_text()
    assert {how for _, how in others} <= {"not started"}


def test_a_step_that_fails_keeps_no_other_from_running(tree):
    for name in ("tools/doctor", ".venv/bin/python"):
        (tree / name).write_text("#!/bin/sh\necho well\n")
    (tree / "bin/nvidia-smi").write_text("#!/bin/sh\necho none; exit 9\n")
    ended = run(tree, "tests", "out")
    assert ended.returncode == 1
    seen = re.findall(r"(\w+): exit status (\d+)", ended.stdout)
    assert seen == [("doctor", "0"), ("card", "9"), ("tests", "0")]
    assert (tree / "out/card.txt").read_text() == "none\n"


def test_the_steps_of_a_part_have_room_in_it():
    """So that the deadline cuts off only what is slower than expected."""
    for part in PARTS:
        body = re.search(rf"^{part}\)\n(.*?);;", SCRIPT.read_text(), re.MULTILINE | re.DOTALL)[1]
        times = 2 if "for fuse" in body else 1
        assert 0 < times * sum(map(int, re.findall(r"step \S+ (\d+) ", body))) <= 570


@pytest.mark.parametrize("words", [["all", "out"], ["tests"]])
def test_another_part_is_refused(tree, words):
    ended = run(tree, *words)
    assert ended.returncode == 2 and "speed" in ended.stderr
