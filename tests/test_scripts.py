"""Shell scripts find their project from any folder, through a link, and with CDPATH exported."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What each is called with. "out" is a folder that it writes to, from the folder where it is called.
SCRIPTS = {"tools/bundle.sh": [], "tools/caffe_gtest.sh": [], "tools/doctor": [],
           "tools/install_caffe.sh": [], "tools/lint.sh": [], "tools/quickstart.sh": ["--out", "out"],
           "tools/run_experiments.sh": ["table1", "--dry-run"], "tools/test.sh": [],
           "tools/train_stage.sh": [], "benchmarks/train/on_gpu.sh": ["layers", "out"]}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The scripts in a project whose programs only say where they lie, and with what they are called."""
    clone = tmp_path_factory.mktemp("project").resolve() / "clone"
    for script in SCRIPTS:
        (clone / script).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / script, clone / script)
    for name in ("packages-test", "lint-requirements.txt"):
        shutil.copy2(ROOT / "tools" / name, clone / "tools")
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/sealed").touch()    # Caffe is there
    (clone / "build/caffe/source").mkdir(parents=True)
    version = "sed -n 's/^ruff==\\([^ ]*\\).*/ruff \\1/p' tools/lint-requirements.txt"
    for program, first in (("python", "-c"), ("caffe_gtest", ""), ("ruff", "--version")):
        said = {"-c": "true", "--version": version, "": "pwd"}[first]
        (clone / ".venv/bin" / program).write_text(f"""#!/bin/sh
[ "$1" != "{first}" ] || {{ {said}; exit; }}
echo "$(readlink -f "$0") in $PWD: $*"
""")
        (clone / ".venv/bin" / program).chmod(0o755)
    return clone


@pytest.fixture
def elsewhere(tmp_path):
    """A folder that CDPATH leads to, with folders of the same names as the project's, and no project."""
    for name in ("tools", "benchmarks/train", "build/caffe/source", "out"):
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
    return tmp_path / "elsewhere"


def test_every_script_of_a_person_is_here():
    found = {str(path.relative_to(ROOT)) for folder in ("tools", "benchmarks")
             for path in (ROOT / folder).rglob("*.sh")}
    found -= {"tools/snakemake/on_free_gpu.sh", "tools/install_pinned.sh"}    # look for nothing
    assert found | {"tools/doctor"} == {*SCRIPTS}


@pytest.mark.parametrize("how", ["link", "relative"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_finds_its_project_from_anywhere(script, how, clone, elsewhere, tmp_path):
    called, where = script, clone
    if how == "link":
        called, where = tmp_path / "links/script", tmp_path / "here"
        called.parent.mkdir()
        where.mkdir()
        called.symlink_to(clone / script)
    done = subprocess.run([called, *SCRIPTS[script]], cwd=where, capture_output=True, text=True,
                          env={**os.environ, "CDPATH": str(elsewhere)})
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert any(line.startswith((str(clone), "Caffe is in .venv already")) for line in said), said
    assert str(elsewhere) not in done.stdout + done.stderr
    if "out" in SCRIPTS[script]:
        assert f"{where}/out/" in done.stdout and (where / "out").is_dir()
    assert not any(path.is_file() for path in elsewhere.rglob("*"))
    shutil.rmtree(clone / "out", ignore_errors=True)
