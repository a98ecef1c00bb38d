"""The report: figures worked by hand, the paper's rows in their place, generated data marked everywhere."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml

from data_prep.errors import InputError
from reid.report.results import gather
from reid.report.table import GENERATED, as_csv, as_markdown, as_text, rows
from reid.training.tables import Table

ROOT = Path(__file__).resolve().parents[1]
PAPER = yaml.safe_load((ROOT / "experiments/paper.yaml").read_text())["table1"]


def figures(rank1):
    return {"cmc": {"1": rank1, "5": .5, "10": .75, "20": 1.0}}


def write(folder, split, before, after, base="resnet50", generated=False, **settings):
    """A run's folder as reid.training.run writes it, with what the report reads."""
    run = folder / f"split{split:02d}"
    run.mkdir(parents=True)
    (run / "result.json").write_text(json.dumps({
        "stage": "viper", "split": run.name, "base": base, "objective": "vi", "init": {"file": "w.caffemodel"},
        "dataset": "viper", "generated": generated, "data": {"images": "aa", "test_pairs": f"{split}"},
        "settings": {"lr": .001, **settings}, "before": figures(before), "after": after and figures(after),
        "histogram": figures(.02), "chance": figures(.01), "iterations": 40 if after else 0}))
    table = Table(run / "losses.csv", 0)
    for iteration in range(1, 200):
        table.write(iteration, epoch=0, lr=.001, loss_id_a=3 / iteration, loss_id_b=3 / iteration, loss_verif=.6)
    table.close()


def test_mean_and_deviation_over_splits_stand_under_the_papers_row(tmp_path):
    for split, after in enumerate((.40, .42, .47)):
        write(tmp_path / "runs", split, .05, after)
    section, = gather(tmp_path / "runs")
    table = rows(section, PAPER)
    names = [(row.source, row.method) for row in table]
    place = names.index(("paper", "Ours (ResNet-50)"))
    assert table[place].figures[1] == (51.30, None) and 20 not in table[place].figures
    assert names[place + 1:] == [("ours", "resnet50 (V+I) from w.caffemodel, before"),
                                 ("ours", "resnet50 (V+I) from w.caffemodel, after 40 iterations"),
                                 ("ours", "colour histogram"), ("ours", "chance")]
    assert table[place + 2].splits == 3
    assert table[place + 2].figures[1] == pytest.approx((43.0, 13 ** .5))    # deviations −3, −1, 4: √(26/2)
    assert "43.00 ± 3.61" in as_text(section, table) and "43.00 ± 3.61" in as_markdown(section, table)
    assert GENERATED not in as_text(section, table)
    row = list(csv.DictReader(as_csv([(section, table)]).splitlines()))[place + 2]
    assert (row["r1_mean"], row["r1_std"], row["splits"]) == ("43.0", "3.6056", "3")


def test_ways_to_train_are_kept_apart_and_named_by_what_differs(tmp_path):
    write(tmp_path / "a", 0, .05, .4)
    write(tmp_path / "b", 0, .05, .3, lr=.01)
    write(tmp_path / "c", 0, .05, None)
    section, = gather(tmp_path)
    assert sorted(group.name for group in section.groups) == [
        "resnet50 (V+I) from w.caffemodel, lr=0.001", "resnet50 (V+I) from w.caffemodel, lr=0.001",
        "resnet50 (V+I) from w.caffemodel, lr=0.01"]
    assert sum("after" in row.method for row in rows(section, PAPER)) == 2
    assert rows(section, PAPER)[-1].splits == 1                              # one split, three times


def test_generated_data_is_marked_and_never_mixed_with_real(tmp_path):
    write(tmp_path / "real", 0, .05, .4, base="tiny")
    write(tmp_path / "made", 0, .05, .4, base="tiny", generated=True)
    real, made = gather(tmp_path)
    assert (real.generated, made.generated) == (False, True)
    assert GENERATED in as_text(made, rows(made, PAPER)) and GENERATED in as_markdown(made, rows(made, PAPER))


def test_command_writes_tables_and_curves(tmp_path):
    write(tmp_path / "runs", 0, .05, .4, base="tiny", generated=True)
    done = subprocess.run([sys.executable, ROOT / "tools/report.py", "--runs", tmp_path / "runs", "--out",
                           tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert GENERATED in done.stdout and "tiny (V+I)" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "curves-viper-01.png", "table.csv", "table.md", "table.txt"]
    assert cv2.imread(str(tmp_path / "out/curves-viper-01.png")).std() > 10


def test_nothing_to_report_and_damaged_results_are_errors(tmp_path):
    with pytest.raises(InputError, match="no result.json"):
        gather(tmp_path)
    file = tmp_path / "result.json"
    file.write_text('{"stage": "vip')
    with pytest.raises(InputError, match="result.json: damaged"):
        gather(tmp_path)
    file.write_text('{"stage": "viper"}')
    with pytest.raises(InputError, match="lacks base"):
        gather(tmp_path)
