"""The tables of a run after a power cut: each snapshot says which rows it has seen, and none is missing."""

import os
import shutil

import pytest
from records import edit
from stages import run_stage, tiny_job

from reid.common.errors import InputError
from reid.engine import snapshots, tables
from reid.engine.alarms import alarms
from reid.engine.tables import Table, read

SMALL = ["batch=4", "max_iter=9", "display=9", "test_every=2", "evaluate_every=3", "snapshot_every=3",
         "keep_snapshots=3", "workers=0"]
FILES = ["losses.csv", "test.csv", "evaluation.csv"]


def job(data, out, *assignments):
    return tiny_job(data, out, *SMALL, *assignments)


@pytest.fixture(scope="module")
def trained(prepared_viper, tmp_path_factory):
    """The folder of all runs with one in it that was killed after its last snapshot, 9. Read only."""
    out = tmp_path_factory.mktemp("runs")
    folder, = run_stage(job(prepared_viper, out), [0])
    (folder / "result.json").unlink()
    return out


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "runs") / "viper/split00"


def resumed(data, run):
    run_stage(job(data, run.parents[1]), [0])
    return run


def same_tables(run, trained):
    for name in FILES:
        assert (run / name).read_bytes() == (trained / "viper/split00" / name).read_bytes(), name


def lines(file, change):
    """Rewrite a table, its lines changed by a function of their list."""
    kept = file.read_text().splitlines(keepends=True)
    change(kept)
    file.write_text("".join(kept))


def hole(kept):
    del kept[5:7]    # iterations 5 and 6


def zeros(kept):
    kept[8] = "\0" * len(kept[8])


def other_digit(kept):
    kept[5] = kept[5][:-2] + ("1" if kept[5][-2] != "1" else "2") + "\n"


@pytest.mark.parametrize("change, back_to", [
    (hole, 3), (zeros, 6), (other_digit, 3), (lambda kept: kept.pop(), 6),
    (lambda kept: kept.append("10,half"), 9), (lambda kept: kept.append("\0" * 9), 9)])
def test_missing_rows_are_made_again(run, trained, prepared_viper, capfd, change, back_to):
    lines(run / "losses.csv", change)
    resumed(prepared_viper, run)
    assert f"resuming from {run}/snapshots/{back_to:06d}" in (said := capfd.readouterr().out)
    assert ("losses.csv" in said) == (back_to < 9)
    same_tables(run, trained)


def test_a_table_that_covers_no_snapshot_is_refused(run, prepared_viper):
    lines(run / "losses.csv", lambda kept: kept.__setitem__(1, "9" + kept[1]))
    with pytest.raises(InputError, match=f"{run}/losses.csv: .*000003.*bring"):
        resumed(prepared_viper, run)
    (run / "losses.csv").unlink()
    with pytest.raises(InputError, match=f"{run}/losses.csv: .*000003.*bring"):
        resumed(prepared_viper, run)
    shutil.rmtree(run / "snapshots")
    resumed(prepared_viper, run)


def test_what_is_judged_after_the_first_snapshot_is_judged_again(run, trained, prepared_viper, capfd):
    """The first snapshot was taken before evaluation.csv had a row: it needs none to resume."""
    lines(run / "evaluation.csv", lambda kept: kept.__setitem__(1, "9" + kept[1]))
    resumed(prepared_viper, run)
    assert f"resuming from {run}/snapshots/000003" in capfd.readouterr().out
    same_tables(run, trained)


def test_snapshots_that_do_not_say_need_a_row_for_every_iteration(run, trained, prepared_viper, capfd):
    for file in run.glob("snapshots/*/snapshot.json"):
        edit(file, lambda facts: facts.pop("tables", None))
    lines(run / "losses.csv", hole)
    resumed(prepared_viper, run)
    assert f"resuming from {run}/snapshots/000003" in capfd.readouterr().out
    same_tables(run, trained)


def test_rows_reach_the_disk_before_the_snapshot(prepared_viper, tmp_path, monkeypatch):
    run, order = tmp_path / "viper/split00", []
    fsync, save = os.fsync, snapshots.save
    before = []

    def noted(descriptor):
        order.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def saving(*arguments):
        before.append(list(order))
        order.clear()
        return save(*arguments)
    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(snapshots, "save", saving)
    run_stage(job(prepared_viper, tmp_path), [0])
    assert len(before) == 3
    for synced in before:
        assert {str(run / name) for name in [*FILES, "alarms.csv"]} <= set(synced[-4:])


def test_a_damaged_table_is_one_sentence(tmp_path):
    for content in (b"iteration,loss\n1,\xff\n", b"iteration,loss\n1,x\n", b"iteration,loss\n1\n"):
        (tmp_path / "t.csv").write_bytes(content)
        with pytest.raises(InputError, match=f"{tmp_path}/t.csv, line 2: "):
            read(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("iteration,loss\nx,.5\n1,.4\n")
    with pytest.raises(InputError, match=f"{tmp_path}/t.csv, line 2: "):
        Table(tmp_path / "t.csv", 1)


@pytest.mark.parametrize("content", [
    "iteration,alarm,text\nx,lost,why\n", "iteration\n3\n", "iteration,alarm,text\n3,lost\n",
    f'iteration,alarm,text\n3,"{"x" * 200_000}",y\n'])
def test_damaged_alarms_are_one_sentence(tmp_path, content):
    (tmp_path / "alarms.csv").write_text(content)
    with pytest.raises(InputError, match=f"{tmp_path}/alarms.csv, line 2: "):
        alarms(tmp_path)


def test_the_names_are_those_of_the_tables_that_a_run_writes(trained):
    written = (trained / "viper/split00").glob("*.csv")
    assert {path.name for path in written} == {*tables.KEPT, "epochs.csv"}
