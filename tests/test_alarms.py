"""Alarms: each goes off where it should, once, and the same after a resume; none does where all is well."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from stages import run_stage, tiny_job

from reid.common.errors import InputError
from reid.engine.alarms import WINDOW, Alarms, alarms
from reid.engine.tables import Table, read

HEALTHY = {"loss_id_a": .5, "loss_id_b": .5, "loss_verif": .4}
FLAT = {"loss_id_a": math.log(12), "loss_id_b": math.log(12), "loss_verif": math.log(2)}


def net(update=.001, classes=12, without=()):
    """As much of a net as alarms look at; an update changes `update` of its first layer."""
    weights = np.ones((4, 3, 5, 5), np.float32)
    heads = {"id_fc_a": np.empty((8, classes)), "verif_fc": np.empty((8, 2))}
    return SimpleNamespace(params={"conv1": [SimpleNamespace(data=weights, diff=update * weights)]},
                           blobs={name: blob for name, blob in heads.items() if name not in without})


def watch(run, losses, first=1, said=None, **of):
    """Put the losses, a list of dicts, through alarms as a training does, from iteration `first` on."""
    table = Table(run / "losses.csv", first - 1)
    watching = Alarms(net(**of), run, first - 1, [].append if said is None else said.append)
    for iteration, values in enumerate(losses, first):
        table.write(iteration, **values)
        watching.check(iteration, values)
    return [(row["iteration"], row["alarm"]) for row in alarms(run)]


def test_a_healthy_training_is_left_alone(tmp_path):
    first = [FLAT] * 100    # a hundred iterations to get going are no alarm: ResNet-50 takes as many
    assert watch(tmp_path, first + [HEALTHY] * (3 * WINDOW - 100)) == []


def test_heads_that_learn_nothing_are_warned_of_once(tmp_path):
    said = []
    assert watch(tmp_path, [FLAT] * 3 * WINDOW, said=said) == [(WINDOW, "identification learns nothing"),
                                                               (WINDOW, "verification learns nothing")]
    assert len(said) == 2
    assert "guessing gives log 12 = 2.485; try a larger lr or id_lr_mult" in said[0]
    assert "guessing gives log 2 = 0.693; try a larger verif_scale" in said[1]


def test_a_verification_loss_above_guessing_has_another_way_out(tmp_path):
    said = []
    found = watch(tmp_path, [HEALTHY | {"loss_verif": .9}] * WINDOW, said=said)
    assert found == [(WINDOW, "verification is worse than guessing")] and "lower verif_scale" in said[0]


def test_one_head_alone_is_watched_alone(tmp_path):
    assert watch(tmp_path, [{"loss_verif": math.log(2)}] * WINDOW, without=["id_fc_a"]) == [
        (WINDOW, "verification learns nothing")]


@pytest.mark.parametrize("stopped", [1, WINDOW - 1, WINDOW, WINDOW + 7])
def test_a_resumed_training_has_the_alarms_of_a_straight_one(tmp_path, stopped):
    for name in ("straight", "resumed"):
        (tmp_path / name).mkdir()
    losses = [FLAT | {"loss_verif": .3}] * WINDOW + [FLAT] * WINDOW
    straight = watch(tmp_path / "straight", losses)
    watch(tmp_path / "resumed", losses[:stopped + 20])    # it ran 20 iterations past its last snapshot
    assert watch(tmp_path / "resumed", losses[stopped:], first=stopped + 1) == straight and len(straight) == 2
    assert (tmp_path / "resumed/alarms.csv").read_bytes() == (tmp_path / "straight/alarms.csv").read_bytes()


def test_an_update_that_is_too_large_is_warned_of_and_one_that_ruins_stops(tmp_path):
    said = []
    assert watch(tmp_path, [HEALTHY] * 3, said=said, update=.2) == [(1, "exploding gradients")]
    assert "one update changed conv1 by 20% of its weights" in said[0] and "verif_scale" in said[0]
    for ruinous in (.6, math.nan, math.inf):
        with pytest.raises(InputError, match="iteration 1: .*diverged.*conv1.*snapshots.*lower lr"):
            watch(tmp_path, [HEALTHY], update=ruinous)


def job(data, out, *assignments):
    return tiny_job(data, out, "batch=8", "epochs=3", "test_every=0", "workers=0", *assignments)


def test_the_literal_reading_of_the_paper_explodes_before_a_loss_overflows(prepared_viper, tmp_path):
    with pytest.raises(InputError,
                       match="diverged, exploding gradients: one update changed conv1 by .*verif_scale"):
        run_stage(job(prepared_viper, tmp_path, "verif_scale=1", "clip_gradients=-1"), [0])
    assert max(read(tmp_path / "viper/split00/losses.csv")["loss_verif"]) < 87


def test_the_defaults_set_off_nothing(prepared_viper, tmp_path):
    folder, = run_stage(job(prepared_viper, tmp_path), [0])
    assert alarms(folder) == [] and (folder / "alarms.csv").read_text() == ""
