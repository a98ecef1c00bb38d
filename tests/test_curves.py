"""The course of a training as charts: what is drawn is what the run's tables say."""

from types import SimpleNamespace

import pytest

from reid.common.errors import InputError
from reid.engine import tables
from reid.engine.loop import write_epochs
from reid.engine.schedule import Schedule
from reid.engine.tables import Table, read
from reid.report import chart, curves
from reid.report.chart import Chart, Series
from reid.report.results import Group

SCHEDULE = Schedule(iterations=18, lr_final_from=12, ends=[120, 240, 360], step=21, test_batches=(0,))


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


def group(folder):
    return Group("tiny (V+I)", [SimpleNamespace(iterations=18, tables=None, split="split00")], [folder])


def test_the_charts_show_the_tables(run):
    shown = {one.title: one for one in curves.charts(group(run))}
    assert set(shown) == {"identification loss", "verification loss", "learning rate",
                          "different pairs to each same pair"}    # nothing else was recorded
    assert shown["learning rate"].series[0].points == [(1, .001), (12, .001), (13, .0001), (18, .0001)]
    ratio = shown["different pairs to each same pair"].series[0].points
    assert ratio == [(1, 1.0), (7, 1.0), (7, 1.01), (13, 1.01), (13, 1.02), (18, 1.02)]
    identification = shown["identification loss"]
    assert {y for _, y in identification.series[0].points} == {3}      # the mean of both branches
    assert identification.marks == (9,)
    assert curves.alarms_of(group(run)) == [(9, "split00", "exploding gradients")]


def test_a_run_without_tables_has_no_charts(run, tmp_path):
    for name in ("epochs.csv", "alarms.csv"):
        (run / name).unlink()
    assert len(curves.charts(group(run))) == 3 and not curves.alarms_of(group(run))
    assert not curves.charts(group(tmp_path))


@pytest.mark.parametrize("name", ["losses.csv", "alarms.csv", "epochs.csv"])
@pytest.mark.parametrize("change", [lambda content: content[:-3], lambda content: b"?" + content[1:],
                                    None])
def test_a_table_that_is_not_the_finished_runs_is_refused(run, name, change):
    result = SimpleNamespace(iterations=18, tables=tables.state(run, tables.ALL), split="split00")
    if change:
        (run / name).write_bytes(change((run / name).read_bytes()))
    else:
        (run / name).unlink()
    with pytest.raises(InputError, match=f"{run / name}: is not as it was when the run was finished"):
        curves.charts(Group("tiny (V+I)", [result], [run]))


def test_a_long_line_is_thinned_to_means():
    points = curves._thin([(x, float(x % 2)) for x in range(1, 1001)])
    assert len(points) == 100 and points[-1] == (1000, .5) and {y for _, y in points} == {.5}


def test_a_chart_by_hand():
    svg = chart.draw(Chart("CMC", "rank", "%", [Series("ours", [(1, 20.0), (10, 60.0), (100, 100.0)],
                                                       dots=True)],
                           log=True), "c")
    # from 0 to 100 over the height, from log 1 to log 100 over the width; 10 is in the middle
    middle = (chart.LEFT + chart.WIDTH - chart.RIGHT) / 2
    low, high = chart.HEIGHT - chart.BOTTOM, chart.TOP
    assert (f'd="M{chart.LEFT}.0 {low + .2 * (high - low):.1f}L{middle:.1f} {low + .6 * (high - low):.1f}'
            f'L{chart.WIDTH - chart.RIGHT}.0 {high}.0"') in svg
    assert '<desc id="c-desc">% by rank. ours: 20 at 1, 60 at 10, 100 at 100.</desc>' in svg
    assert 'aria-labelledby="c-title c-desc"' in svg
