"""The report: figures worked by hand, the paper's rows in their place, generated data marked everywhere."""

import csv
import json
from pathlib import Path

import programs
import pytest
import yaml

from reid.common.errors import InputError
from reid.engine.tables import Table
from reid.report.layout import Head, Mean, measured
from reid.report.results import gather
from reid.report.table import GENERATED, as_csv, as_markdown, as_text, tables

ROOT = Path(__file__).resolve().parents[1]
PAPER = yaml.safe_load((ROOT / "experiments/paper.yaml").read_text())


def figures(rank1):
    return {"queries": 316, "queries_without_match": 0, "cmc": {"1": rank1, "5": .5, "10": .75, "20": 1.0},
            "mAP": {"trapezoid": rank1, "step": rank1}}


CHANCE = {"cmc": figures(.01)["cmc"]}


def weights(file, **about):
    return {"file": file, "sha256": "00", **about}


def write(folder, split, before, after, base="resnet50", generated=False, about=None, **settings):
    """A run's folder as a run writes it, with what the report reads."""
    run = folder / f"split{split:02d}"
    run.mkdir(parents=True)
    (run / "result.json").write_text(json.dumps({
        "stage": "viper", "split": run.name, "base": base, "objective": "vi",
        "init": weights("w.caffemodel"),
        "dataset": "viper", "generated": generated,
        "data": {"images": "aa", "train_pairs": f"{split}", "test_pairs": f"{split}"},
        "settings": {"lr": .001, **settings}, "before": figures(before), "after": after and figures(after),
        "histogram": figures(.02), "chance": figures(.01), "iterations": 40 if after else 0,
        "protocol": "single-shot", "weights": weights("w") if after else None, **(about or {})}))
    table = Table(run / "losses.csv", 0)
    for iteration in range(1, 200):
        table.write(iteration, epoch=0, lr=.001, loss_id_a=3 / iteration, loss_id_b=3 / iteration,
                    loss_verif=.6)
    table.close()


def test_mean_and_deviation_over_splits_stand_under_the_papers_row(tmp_path):
    for split, after in enumerate((.40, .42, .47)):
        write(tmp_path / "runs", split, .05, after)
    section, = gather(tmp_path / "runs")
    table, = tables(section, PAPER)
    names = [(row.source, row.method) for row in table.rows]
    place = names.index(("paper", "Ours (ResNet-50)"))
    assert table.rows[place].figures["r=1"] == (51.30, None) and "r=20" not in table.rows[place].figures
    assert names[place + 1:] == [("ours", "resnet50 (V+I) from w.caffemodel, before"),
                                 ("ours", "resnet50 (V+I) from w.caffemodel, after 40 iterations"),
                                 ("ours", "colour histogram"), ("ours", "chance")]
    assert table.rows[place + 2].runs == 3
    # deviations −3, −1, 4: √(26/2)
    assert table.rows[place + 2].figures["r=1"] == pytest.approx((43.0, 13 ** .5))
    assert "43.00 ± 3.61" in as_text(table) and "43.00 ± 3.61" in as_markdown(table)
    assert GENERATED not in as_text(table)
    row, = (row for row in csv.DictReader(as_csv([table]).splitlines())
            if row["figure"] == "r=1" and row["method"] == "resnet50 (V+I) from w.caffemodel, after 40 "
                                                           "iterations")
    assert (row["mean"], row["std"], row["runs"]) == ("43.0", "3.6056", "3")


def test_a_run_that_lies_there_twice_counts_once(tmp_path):
    """As a stage that two chains start with, or a folder that was brought from another machine."""
    for name, after in (("a", .4), ("b", .4), ("c", .3)):    # c: trained again, to other weights
        write(tmp_path / name, 0, .05, after)
    section, = gather(tmp_path)
    group, = section.groups
    assert [folder.parent.name for folder in group.folders] == ["a", "c"] and len(group.results) == 2


def test_of_a_split_that_was_trained_again_the_last_time_counts(tmp_path):
    for name, split, after, day in (("cpu", 0, .42, 3), ("gpu", 0, .44, 2), ("cpu", 1, .48, 1)):
        write(tmp_path / name, split, .05, after, about={"finished": f"2026-11-{day:02d} 10:00"})
    section, = gather(tmp_path)
    group, = section.groups
    table, = tables(section, PAPER)
    row, = (row for row in table.rows if "after" in row.method)
    assert row.runs == 2 and row.figures["r=1"] == pytest.approx((45, 18 ** .5))    # of 42 and 48
    assert measured(group, "after", Head("viper", "viper", "", (1,)), 1) == Mean(
        pytest.approx(45), pytest.approx(18 ** .5), 2)


def test_images_stored_in_two_ways_are_two_sections_with_titles_that_differ(tmp_path):
    for name, images in (("raw", "aa55aa55ff"), ("encoded", "bb66bb66ff")):
        write(tmp_path / name, 0, .05, .4,
              about={"data": {"images": images, "train_pairs": "0", "test_pairs": "0"}})
    assert [tables(section, PAPER)[0].title.split(":")[0] for section in gather(tmp_path)] == [
        "viper (viper), images aa55aa55", "viper (viper), images bb66bb66"]
    assert [section.title for section in gather(tmp_path / "raw")] == ["viper (viper)"]


def test_ways_to_train_are_kept_apart_and_named_by_what_differs(tmp_path):
    write(tmp_path / "a", 0, .05, .4)
    write(tmp_path / "b", 0, .05, .3, lr=.01)
    write(tmp_path / "c", 0, .05, None)
    section, = gather(tmp_path)
    assert sorted(group.name for group in section.groups) == [
        "resnet50 (V+I) from w.caffemodel, lr=0.001", "resnet50 (V+I) from w.caffemodel, lr=0.001",
        "resnet50 (V+I) from w.caffemodel, lr=0.01"]
    table, = tables(section, PAPER)
    assert sum("after" in row.method for row in table.rows) == 2
    assert table.rows[-1].runs == 1                              # one split, three times


def test_a_stage_is_named_by_the_one_it_starts_from(tmp_path):
    write(tmp_path, 0, .05, .4, about={"parent": weights("w", stage="cuhk01")})
    assert gather(tmp_path)[0].groups[0].name == "resnet50 (V+I) from cuhk01"


def test_only_identification_straight_from_imagenet_stands_under_baseline(tmp_path):
    init = {"file": "resnet50.caffemodel", "sha256": "11"}
    imagenet = {"name": "resnet50", "file": "x", "sha256": "11"}
    ways = {"direct": dict(init=init, parent=imagenet), "nodrop": dict(init=init, parent=imagenet),
            "chain": dict(init=weights("weights.caffemodel"), parent=weights("w", stage="cuhk01")),
            "unknown": dict(init={"file": "w.caffemodel", "sha256": "33"}, parent=weights("w", name=None)),
            "old": dict(init={"file": "old.caffemodel", "sha256": "44"}), "random": dict(init=None)}
    for place, (name, about) in enumerate(ways.items()):
        write(tmp_path / name, 0, .05, .1 + place / 100, about={"objective": "i", **about},
              dropout=0 if name == "nodrop" else 0.5)
    write(tmp_path / "tiny", 0, .05, .3, base="tiny", about={"objective": "i", "init": None}, dropout=.5)
    section, = gather(tmp_path)
    rows = [(row.source, row.method) for row in tables(section, PAPER)[0].rows if "before" not in row.method]
    place = rows.index(("paper", "ResNet-50-Baseline [18]"))
    assert rows[place + 1:] == [
        ("ours", "resnet50 (I) from resnet50.caffemodel, dropout=0.5, after 40 iterations"),
        ("ours", "resnet50 (I) from resnet50.caffemodel, dropout=0, after 40 iterations"),
        ("paper", "Ours (ResNet-50)"),
        ("ours", "resnet50 (I) from cuhk01, dropout=0.5 (not the paper's Baseline: at the end of a chain), "
                 "after 40 iterations"),
        ("ours", "resnet50 (I) from old.caffemodel, dropout=0.5 (the paper's Baseline only if these weights "
                 "are ImageNet's; their origin is unknown), after 40 iterations"),
        ("ours", "resnet50 (I) from random weights, dropout=0.5 (not the paper's Baseline: not pre-trained), "
                 "after 40 iterations"),
        ("ours", "tiny (I) from random weights, after 40 iterations"),
        ("ours", "resnet50 (I) from w.caffemodel, dropout=0.5 (the paper's Baseline only if these weights "
                 "are ImageNet's; their origin is unknown), after 40 iterations"),
        ("ours", "colour histogram"), ("ours", "chance")]


def test_competitors_stand_in_the_papers_order_where_they_are_asked_for(tmp_path):
    write(tmp_path / "viper", 0, .05, .4)
    about = {key: "market1501" for key in ("stage", "dataset", "protocol")}
    write(tmp_path / "market", 0, 0, .1, about={**about, "before": market(.1), "after": market(.7),
                                                "histogram": market(.05), "chance": CHANCE})
    for section, table, column in zip(gather(tmp_path), ("table2", "table1"), ("single_query", "viper")):
        printed = [row["method"] for row in PAPER[table]["rows"] if row[column]]
        plain, every = (tables(section, PAPER, competitors)[0].rows for competitors in (False, True))
        assert [row.method for row in every if row.source == "paper"] == printed
        own = [row["method"] for row in PAPER[table]["rows"] if "base" in row]
        assert plain == [row for row in every if row.source == "ours" or row.method in own]
    gog, = (row for row in every if row.method == "GOG [23]")
    assert gog.runs is None
    assert gog.figures == {"r=1": (49.7, None), "r=5": (79.7, None), "r=10": (88.7, None)}


def test_generated_data_is_marked_and_never_mixed_with_real(tmp_path):
    write(tmp_path / "real", 0, .05, .4, base="tiny")
    write(tmp_path / "made", 0, .05, .4, base="tiny", generated=True)
    real, made = gather(tmp_path)
    assert (real.generated, made.generated) == (False, True)
    for table in tables(made, PAPER):
        assert GENERATED in as_text(table) and GENERATED in as_markdown(table)


def market(rank1):
    one = {**figures(rank1), "mAP": {"trapezoid": .3, "step": .35}}
    many = {**figures(.8), "mAP": {"trapezoid": .5, "step": .55}}
    return {**one, "multi_query": {"mean": many, "max": one}}


def test_market1501_stands_beside_table_two(tmp_path):
    write(tmp_path, 0, 0, .1, about={"stage": "market1501", "dataset": "market1501", "protocol": "market1501",
                                     "before": market(.1), "after": market(.7), "histogram": market(.05),
                                     "chance": CHANCE})
    section, = gather(tmp_path)
    table = tables(section, PAPER)[0]
    named = {row.method: row.figures for row in table.rows}
    assert {column: value for column, (value, _) in named["Ours (ResNet-50)"].items()} == {
        "SQ r=1": 78.03, "SQ mAP": 58.34, "MQ r=1": 82.97, "MQ mAP": 64.32}
    ours = named["resnet50 (V+I) from w.caffemodel, after 40 iterations"]
    assert [round(ours[column][0], 6) for column in table.columns] == [70, 30, 80, 50, 35, 55]
    assert named["chance"]["SQ r=1"] == (1, None) and "MQ r=1" not in named["chance"]


def test_table_three_stands_beside_other_losses_and_pretraining(tmp_path):
    common = {"stage": "cuhk03", "dataset": "cuhk03"}
    for place, (objective, start) in enumerate((("vi", weights("w")), ("v", weights("w")), ("i", None))):
        write(tmp_path / str(place), 0, .05, .1 * (place + 1),
              about={**common, "objective": objective, "init": start})
    section, = gather(tmp_path)
    _, table = tables(section, PAPER)
    rows = [(row.source, row.figures["r=1"][0]) for row in table.rows]
    after = {name: rows[place + 1] for place, name in enumerate(row.method for row in table.rows[:-1])}
    assert after["ResNet-50 (V+I), pre-trained"] == ("ours", pytest.approx(10))
    assert after["ResNet-50 (V), pre-trained"] == ("ours", pytest.approx(20))
    assert after["ResNet-50 (I), not pre-trained"] == ("ours", pytest.approx(30))
    assert after["ResNet-50 (I), pre-trained"][0] == "paper"
    assert PAPER["table3"]["doubt"] in as_text(table)


def test_command_writes_tables_and_curves(tmp_path):
    write(tmp_path / "runs", 0, .05, .4, base="tiny", generated=True)
    done = programs.run("tools/report.py", "--runs", tmp_path / "runs", "--out", tmp_path / "out",
                        "--competitors")
    assert done.returncode == 0, done.stderr
    assert "GOG [23]" in done.stdout and "GOG [23]" in (tmp_path / "out/table.csv").read_text()
    assert GENERATED in done.stdout and "tiny (V+I)" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "paper-tables-generated.csv", "report.html", "table.csv", "table.md", "table.txt"]


def test_nothing_to_report_and_damaged_results_are_errors(tmp_path):
    with pytest.raises(InputError, match="no result.json"):
        gather(tmp_path)
    file = tmp_path / "result.json"
    file.write_text('{"stage": "vip')
    with pytest.raises(InputError, match="result.json: damaged"):
        gather(tmp_path)
    file.write_text('{"stage": "viper"}')
    with pytest.raises(InputError, match="lacks .*base"):
        gather(tmp_path)
