"""A folder is resumed, and counts as finished, for what it was trained with, whatever was deleted."""

import shutil

import pytest
from records import edit
from stages import run_stage, tiny_job

from reid.common.errors import InputError

SMALL = ["batch=4", "max_iter=4", "display=4", "test_every=0", "snapshot_every=2", "workers=0"]


def job(data, out, *assignments, **other):
    return tiny_job(data, out, *SMALL, *assignments, **other)


@pytest.fixture(scope="module")
def trained(prepared_viper, tmp_path_factory):
    """The folder of all runs with one short, finished run in it. Read only."""
    out = tmp_path_factory.mktemp("runs")
    run_stage(job(prepared_viper, out), [0])
    return out


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "runs")


def left(out, *names):
    """Delete these files of the run, and return its folder."""
    folder = out / "viper/split00"
    for name in names:
        (folder / name).unlink()
    return folder


OTHER = [(dict(assignments=["lr=0.01"]), "lr"), (dict(assignments=["seed=3"]), "seed"),
         (dict(objective="v"), "objective"), (dict(assignments=["two_branch=true"]), "two_branch")]


def asked(data, out, assignments=(), **other):
    return job(data, out, *assignments, **other)


@pytest.mark.parametrize("form", ["two_branch=true", "two_branch=false"])
def test_a_killed_run_resumes_in_either_form_of_the_net(prepared_viper, tmp_path, form):
    folder, = run_stage(job(prepared_viper, tmp_path, form), [0])
    last = folder / "snapshots/000004/weights.caffemodel"
    before = last.read_bytes()
    shutil.rmtree(last.parent)
    left(tmp_path, "result.json")
    run_stage(job(prepared_viper, tmp_path, form), [0])
    assert last.read_bytes() == before


@pytest.mark.parametrize("deleted", [("settings.yaml", "result.json"), ("settings.yaml",),
                                     ("settings.yaml", "result.json", "start.json")])
@pytest.mark.parametrize("other, key", OTHER)
def test_other_settings_are_refused_though_the_record_is_gone(copy, prepared_viper, deleted, other, key):
    folder = left(copy, *deleted)
    with pytest.raises(InputError, match=f"{folder}.*started with {key}=.*another --out"):
        run_stage(asked(prepared_viper, copy, **other), [0])
    assert not (folder / "settings.yaml").exists()


@pytest.mark.parametrize("other, key", OTHER)
def test_a_snapshot_of_another_run_is_refused(copy, prepared_viper, tmp_path, other, key):
    folder = left(copy, "result.json")
    foreign, = run_stage(asked(prepared_viper, tmp_path / "other", **other), [0])
    shutil.rmtree(folder / "snapshots")
    shutil.copytree(foreign / "snapshots", folder / "snapshots")
    with pytest.raises(InputError, match=f"{folder}/snapshots/000002.*started with {key}="):
        run_stage(job(prepared_viper, copy), [0])


def test_the_same_settings_resume_without_their_record(copy, trained, prepared_viper):
    folder = left(copy, "settings.yaml", "result.json", "start.json")
    shutil.rmtree(folder / "snapshots/000004")
    run_stage(job(prepared_viper, copy), [0])
    for name in ("snapshots/000004/weights.caffemodel", "losses.csv", "settings.yaml", "start.json"):
        assert (folder / name).read_bytes() == (trained / "viper/split00" / name).read_bytes(), name


def without_settings(folder):
    """Make the snapshots those of a version that did not write what they were trained with."""
    for file in folder.glob("snapshots/*/snapshot.json"):
        edit(file, lambda facts: [facts.pop(key, None) for key in ("trained_with", "tables")])


def test_a_snapshot_that_does_not_say_is_taken_only_beside_the_settings(copy, prepared_viper):
    folder = left(copy, "result.json")
    without_settings(folder)
    run_stage(job(prepared_viper, copy), [0])
    left(copy, "result.json", "settings.yaml")
    without_settings(folder)
    with pytest.raises(InputError, match=f"{folder}/snapshots/000002.*does not say what .*trained with"):
        run_stage(job(prepared_viper, copy), [0])


def test_a_snapshot_of_another_net_that_does_not_say_is_no_abort_of_caffe(copy, prepared_viper, tmp_path):
    folder = left(copy, "result.json")
    foreign, = run_stage(job(prepared_viper, tmp_path / "other", objective="v"), [0])
    shutil.rmtree(folder / "snapshots")
    shutil.copytree(foreign / "snapshots", folder / "snapshots")
    without_settings(folder)
    with pytest.raises(InputError, match=f"{folder}/snapshots/000004.*id_fc"):
        run_stage(job(prepared_viper, copy), [0])


def test_a_kept_head_is_part_of_what_was_asked_for(trained, prepared_viper, tmp_path):
    weights = trained / "viper/split00/snapshots/000004/weights.caffemodel"

    def second(keep):
        return job(prepared_viper, tmp_path / "runs", stage="mine", init=weights, keep_head=keep)
    folder, = run_stage(second(True), [0])
    for name in ("start.json", "settings.yaml", "result.json", None):
        with pytest.raises(InputError, match=f"{folder}.*a kept verification head; you asked for a fresh"):
            run_stage(second(False), [0])
        if name:
            (folder / name).unlink()
    run_stage(second(True), [0])
