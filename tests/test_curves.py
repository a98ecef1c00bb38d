"""The course of a training as a picture: what is drawn is what the run's tables say."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from reid.common.errors import InputError
from reid.engine import tables
from reid.engine.loop import write_epochs
from reid.engine.schedule import Schedule
from reid.engine.tables import Table, read
from reid.report import curves
from reid.report.results import Group

SCHEDULE = Schedule(iterations=18, lr_final_from=12, ends=np.array([120, 240, 360]), step=21,
                    test_batches=(0,))


def test_epochs_begin_where_their_first_pair_is(tmp_path):
    assert SCHEDULE.starts() == [0, 6, 12]    # ⌈120/21⌉ = 6, ⌈240/21⌉ = 12
    assert [SCHEDULE.epoch(start) for start in (0, 5, 6, 11, 12)] == [0, 0, 1, 1, 2]
    assert Schedule(7, 7, SCHEDULE.ends, 21, 1).starts() == [0, 6]
    for _ in range(2):    # a resumed run writes it again
        write_epochs(tmp_path, SCHEDULE, [1.0, 1.01, 1.02])
    assert read(tmp_path / "epochs.csv") == {"iteration": [1, 7, 13], "epoch": [0, 1, 2],
                                             "ratio": [1.0, 1.01, 1.02]}


@pytest.fixture
def run(tmp_path):
    """A run of 18 iterations with an alarm at the ninth."""
    folder = tmp_path / "run"
    folder.mkdir()
    losses = Table(folder / "losses.csv", 0)
    for iteration in range(1, 19):
        losses.write(iteration, epoch=SCHEDULE.epoch(iteration - 1), lr=.001 if iteration < 13 else .0001,
                     loss_id_a=2.0, loss_id_b=4.0, loss_verif=.7)
    Table(folder / "alarms.csv", 0).write(9, alarm="exploding gradients",
                                          text="one update, or two, were large")
    write_epochs(folder, SCHEDULE, [1.0, 1.01, 1.02])
    return folder


def drawn(monkeypatch, path, folder, generated=True):
    """The figure that curves.draw writes, its axes by title."""
    figures = []
    monkeypatch.setattr(curves.plt, "close", figures.append)
    group = Group("tiny (V+I)", [SimpleNamespace(iterations=18, tables=None, split="split00")], [folder])
    assert curves.draw(path, SimpleNamespace(stage="viper", dataset="viper", generated=generated), group)
    figure = figures[-1]
    return figure, {axis.get_title(): axis for axis in figure.axes}


def test_the_panels_show_the_tables(run, tmp_path, monkeypatch):
    figure, axes = drawn(monkeypatch, tmp_path / "c.png", run)
    assert cv2.imread(str(tmp_path / "c.png")).std() > 10
    assert "generated people, not photographs" in figure._suptitle.get_text()
    rate, = axes["learning rate"].lines
    np.testing.assert_allclose(rate.get_ydata(), [.001] * 12 + [.0001] * 6)
    ratio, _ = axes["different pairs to each same pair"].lines
    assert list(zip(*ratio.get_data())) == [(1, 1.0), (7, 1.01), (13, 1.02), (18, 1.02)]
    identification = axes["identification loss"].lines
    np.testing.assert_allclose(identification[0].get_ydata(), 3)       # the mean of both branches
    assert list(identification[-1].get_xdata()) == [9, 9]              # the alarm
    assert axes["alarms"].texts[0].get_text() == "iteration 9, split00:\n   exploding gradients"
    for title, axis in axes.items():
        assert title == "alarms" or axis.get_xlabel() == "iteration"


def test_a_run_without_the_newer_tables_is_drawn_too(run, tmp_path, monkeypatch):
    (run / "epochs.csv").unlink()
    (run / "alarms.csv").unlink()
    _, axes = drawn(monkeypatch, tmp_path / "c.png", run, generated=False)
    assert axes["alarms"].texts[0].get_text() == "none"
    assert axes["rank-1, %"].texts[0].get_text() == "not recorded"
    assert not curves.draw(tmp_path / "d.png", None, SimpleNamespace(results=[], folders=[tmp_path]))


@pytest.mark.parametrize("name", ["losses.csv", "alarms.csv", "epochs.csv"])
@pytest.mark.parametrize("change", [lambda content: content[:-3], lambda content: b"?" + content[1:],
                                    None])
def test_a_table_that_is_not_the_finished_runs_is_refused(run, tmp_path, name, change):
    result = SimpleNamespace(iterations=18, tables=tables.state(run, tables.ALL), split="split00")
    group = Group("tiny (V+I)", [result], [run])
    if change:
        (run / name).write_bytes(change((run / name).read_bytes()))
    else:
        (run / name).unlink()
    with pytest.raises(InputError, match=f"{run / name}: is not as it was when the run was finished"):
        curves.draw(tmp_path / "c.png", None, group)
