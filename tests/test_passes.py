"""What a run does with passes: the choice is kept, a resume takes it over, older runs are read."""

import json
import shutil

import numpy as np
import pytest
import yaml
from records import edit
from stages import run_stage, tiny_job

from reid.common import machine
from reid.common.errors import InputError
from reid.engine.tables import read
from reid.formats import result as result_file
from reid.report.results import gather
from reid.stages.stage import check_stage

SMALL = ["batch=8", "max_iter=4", "display=4", "test_every=0", "snapshot_every=2", "workers=0"]


def job(data, out, *assignments):
    return tiny_job(data, out, *SMALL, *assignments)


def last_weights(folder):
    return folder / "snapshots/000004/weights.caffemodel"


def test_the_choice_is_kept_and_a_resume_takes_it_over(prepared_viper, tmp_path, monkeypatch):
    folder, = run_stage(job(prepared_viper, tmp_path, "pass_pairs=2"), [0])
    assert yaml.safe_load((folder / "settings.yaml").read_text())["settings"]["pass_pairs"] == 2
    assert result_file.read(folder).settings["pass_pairs"] == 2
    assert "4 passes of 2" in (folder / "log.txt").read_text()
    before = last_weights(folder).read_bytes()
    shutil.rmtree(folder / "snapshots/000004")
    (folder / "result.json").unlink()
    for gone in (None, "settings.yaml"):      # the snapshot says it too
        if gone:
            (folder / gone).unlink()
        check = check_stage(job(prepared_viper, tmp_path), [0])    # auto, and there is memory for all 8
        assert check.runs[0].settings.pass_pairs == 2
    with pytest.raises(InputError, match="was started with pass_pairs=2; you asked for 8"):
        check_stage(job(prepared_viper, tmp_path, "pass_pairs=8"), [0])
    with pytest.raises(InputError, match="was started with batch=8; you asked for 4"):
        check_stage(job(prepared_viper, tmp_path, "batch=4"), [0])
    monkeypatch.setattr(machine, "memory", lambda: (1e9, 1e8))
    with pytest.raises(InputError, match="pass_pairs is 2: .* keeps its own"):
        check_stage(job(prepared_viper, tmp_path), [0])
    monkeypatch.undo()
    run_stage(job(prepared_viper, tmp_path), [0])
    assert last_weights(folder).read_bytes() == before


def test_auto_follows_from_the_memory(prepared_viper, tmp_path, monkeypatch):
    assert check_stage(job(prepared_viper, tmp_path), [0]).runs[0].settings.pass_pairs == 8
    monkeypatch.setattr(machine, "memory", lambda: (1e10, 1.3e8))
    with pytest.raises(InputError, match="even one pair at a time"):
        check_stage(job(prepared_viper, tmp_path), [0])
    # nothing is trained, so nothing has to fit
    run, = check_stage(job(prepared_viper, tmp_path, "epochs=0"), [0]).runs
    assert run.settings.pass_pairs == 8


def test_losses_are_the_means_over_the_passes(prepared_viper, tmp_path):
    """The first update has the weights of the start and the same masks, however it is cut."""
    whole, parts = (run_stage(job(prepared_viper, tmp_path / f"{pairs}", f"pass_pairs={pairs}"), [0])[0]
                    for pairs in (8, 2))
    first, second = (read(folder / "losses.csv") for folder in (whole, parts))
    assert first.keys() == second.keys() and {"loss_id_a", "loss_id_b", "loss_verif"} <= first.keys()
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name], rtol=1e-4)
    assert first["loss_id_a"][0] != first["loss_id_a"][3]
    # One row of the report, since the updates are the same
    group, = gather(tmp_path)[0].groups
    assert len(group.results) == 2 and "pass" not in group.name


def as_before_passes(folder, batch, passes):
    """Rewrite what a run says of itself as it did when batch counted the pairs of a pass."""
    def older(settings):
        del settings["pass_pairs"]
        settings.update(batch=batch, iter_size=passes)

    def flat(facts):
        old = {key: value for key, value in facts["trained_with"].items() if key != "settings.pass_pairs"}
        facts["trained_with"] = {**old, "settings.batch": batch, "settings.iter_size": passes}

    asked = yaml.safe_load((folder / "settings.yaml").read_text())
    older(asked["settings"])
    (folder / "settings.yaml").write_text(yaml.safe_dump(asked))
    edit(folder / "result.json", lambda result: older(result["settings"]))
    for file in folder.glob("snapshots/*/snapshot.json"):
        edit(file, flat)


def test_a_run_of_before_passes_is_finished_and_resumed(prepared_viper, tmp_path):
    folder, = run_stage(job(prepared_viper, tmp_path, "pass_pairs=4"), [0])
    before = last_weights(folder).read_bytes()
    as_before_passes(folder, batch=4, passes=2)
    assert not check_stage(job(prepared_viper, tmp_path), [0]).todo
    with pytest.raises(InputError, match="was started with batch=8; you asked for 4"):
        check_stage(job(prepared_viper, tmp_path, "batch=4"), [0])
    shutil.rmtree(folder / "snapshots/000004")
    (folder / "result.json").unlink()
    run_stage(job(prepared_viper, tmp_path), [0])
    assert last_weights(folder).read_bytes() == before
    assert json.loads((folder / "result.json").read_text())["settings"]["pass_pairs"] == 4
