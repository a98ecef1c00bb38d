"""Snapshots: as many as are asked for, whole or not there at all, never resumed from where damaged."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal

import caffe
import numpy as np
import pytest
from records import edit

from reid.common.errors import InputError
from reid.engine import snapshots
from reid.formats.snapshot import FACTS, STATE, WEIGHTS

NET = """
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
        shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
        data_filler { type: "gaussian" } data_filler { type: "gaussian" } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "z" inner_product_param { num_output: 2
        weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y" top: "loss" }
"""


@pytest.fixture
def solver(tmp_path):
    """A solver of the smallest net there is, with its snapshots in tmp_path/run/snapshots."""
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path / "net.prototxt"}" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 1000 '
        'random_seed: 1 '
        f'snapshot_prefix: "{snapshots.prefix(tmp_path / "run")}" solver_mode: CPU')
    return caffe.SGDSolver(str(tmp_path / "solver.prototxt"))


def steps(solver, run, iterations, keep=2):
    """Take a snapshot at each of the iterations."""
    for iteration in iterations:
        solver.step(iteration - solver.iter)
        snapshots.save(solver, run, keep, seconds=1.5, trained_with={})


def names(run):
    return sorted(path.name for path in (run / "snapshots").iterdir())


def test_the_newest_are_kept_and_restored(solver, tmp_path):
    run = tmp_path / "run"
    assert snapshots.newest(run) is None
    steps(solver, run, (3, 5, 8), keep=2)
    assert names(run) == ["000005", "000008"]
    before = solver.net.params["fc"][0].data.copy()
    solver.step(4)
    snapshots.restore(solver, snapshots.newest(run))
    assert solver.iter == 8
    np.testing.assert_array_equal(solver.net.params["fc"][0].data, before)


def cut(name):
    def damage(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:len(content) // 2])
    return damage


def flip(name):
    def damage(folder):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
    return damage


def rewrite(**changes):
    def damage(folder):
        edit(folder / FACTS, lambda facts: facts.update(changes))
    return damage


@pytest.mark.parametrize("damage", [
    cut(WEIGHTS), cut(STATE), cut(FACTS), flip(WEIGHTS), flip(STATE), flip(FACTS),
    lambda folder: (folder / FACTS).unlink(), lambda folder: (folder / WEIGHTS).unlink(),
    lambda folder: (folder / FACTS).write_text("[]"), rewrite(seconds=None), rewrite(iteration=6),
    rewrite(sha256=None)])
def test_a_damaged_one_is_passed_over_for_the_one_before_and_said(solver, tmp_path, damage):
    run, said = tmp_path / "run", []
    steps(solver, run, (3, 5))
    damage(run / "snapshots/000005")
    assert snapshots.newest(run, said.append).name == "000003"
    assert len(said) == 1 and "000005 is damaged" in said[0]
    damage(run / "snapshots/000003")
    assert snapshots.newest(run, said.append) is None and len(said) == 3


def test_what_a_kill_leaves_is_no_snapshot_and_goes(solver, tmp_path):
    run, said = tmp_path / "run", []
    steps(solver, run, (3,))
    for name in (".000005.partial", ".000005.old", ".caffe"):
        shutil.copytree(run / "snapshots/000003", run / "snapshots" / name)
    (run / "snapshots/.caffe" / STATE).write_bytes(b"half")
    assert snapshots.newest(run, said.append).name == "000003" and not said
    steps(solver, run, (4,))
    assert names(run) == ["000003", "000004"]


def test_a_damaged_later_one_pushes_out_nothing_whole(solver, tmp_path):
    run = tmp_path / "run"
    steps(solver, run, (3, 9), keep=2)
    cut(WEIGHTS)(run / "snapshots/000009")
    snapshots.restore(solver, snapshots.newest(run))
    steps(solver, run, (4,), keep=1)
    assert names(run) == ["000004", "000009"] and snapshots.newest(run).name == "000004"
    steps(solver, run, (9, 10), keep=1)
    assert names(run) == ["000010"]


def test_a_million_comes_after_what_is_before_it(solver, tmp_path):
    run = tmp_path / "run"
    steps(solver, run, (3,))
    for iteration in (999_999, 1_000_000):
        folder = shutil.copytree(run / "snapshots/000003", run / f"snapshots/{iteration:06d}")
        rewrite(iteration=iteration)(folder)
    assert snapshots.newest(run).name == "1000000"


@contextlib.contextmanager
def no_file_larger(limit):
    """What a quota or a full disk does too: a write fails in the middle of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [0, 1, 50, 100, 200])
def test_no_room_in_the_middle_of_a_snapshot_is_a_sentence(solver, tmp_path, limit):
    """Caffe aborts where a write fails, so it writes into pipes."""
    run = tmp_path / "run"
    steps(solver, run, (3,))
    with no_file_larger(limit), pytest.raises(InputError, match="000004: cannot be written: File too large"):
        steps(solver, run, (4,))
    assert names(run) == ["000003"]
    steps(solver, run, (5,))
    assert names(run) == ["000003", "000005"]


def test_a_file_system_without_pipes(solver, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(f"{path}: no pipes here")
    steps(solver, tmp_path / "run", (3,))
    solver.step(1)
    snapshots.save(solver, tmp_path / "run", 2, seconds=1.5, trained_with={})
    with_pipes = {name: (tmp_path / "run/snapshots/000004" / name).read_bytes() for name in (WEIGHTS, STATE)}
    monkeypatch.setattr(os, "mkfifo", refuse)
    snapshots.save(solver, tmp_path / "run", 2, seconds=1.5, trained_with={})
    assert with_pipes == {name: (tmp_path / "run/snapshots/000004" / name).read_bytes()
                          for name in (WEIGHTS, STATE)}


def test_where_the_reader_of_the_pipe_is_killed_the_process_ends(tmp_path):
    """As where the machine has no memory left; Caffe would wait for ever."""
    process = os.fork()
    if not process:
        signal.alarm(20)
        with snapshots._received(tmp_path / "pipe", tmp_path / "file"):
            multiprocessing.active_children()[0].kill()
            (tmp_path / "pipe").write_bytes(bytes(1 << 20))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGIO
