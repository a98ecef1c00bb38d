"""What cannot be true in published tables: each check on a table worked by hand, and on the paper's."""

from decimal import Decimal
from functools import partial
from pathlib import Path

import programs
import pytest
import yaml

from data_prep.readers.market1501 import COUNTS
from data_prep.splits.load import RULES
from reid.common.errors import InputError
from reid.report.contradictions import counted, find, possible
from reid.report.paper import load

ROOT = Path(__file__).resolve().parents[1]
PAPER = ROOT / "experiments/paper.yaml"
NET = {"base": "resnet50", "objective": "vi"}
RANKS = {"here": [1, 5]}


def table(rows, title="Table I, small", protocol="single-shot", columns=RANKS, **other):
    return {"title": title, "protocol": protocol, "columns": columns, "rows": rows, **other}


def file(tmp_path, references=9, **tables):
    """A file of tables over datasets here (2 splits of 3 queries), open (splits not said), fixed (1 of 4)."""
    path = tmp_path / "tables.yaml"
    datasets = {"here": {"queries": 3, "splits": 2}, "open": {"queries": 3, "splits": None},
                "fixed": {"queries": 4, "splits": 1}}
    path.write_text(yaml.safe_dump({"references": references, "datasets": datasets, **tables}))
    return path


def findings(tmp_path, **given):
    return [(finding.kind, finding.text) for finding in find(load(file(tmp_path, **given)))]


@pytest.mark.parametrize("value, n, expected", [
    ("33.33", 3, True), ("33.34", 3, False), ("33.3", 3, True), ("66.67", 3, True), ("66.66", 3, False),
    ("0.00", 3, True), ("100.00", 3, True), ("12.5", 8, True), ("12.50", 8, True),
    ("6.2", 16, True), ("6.3", 16, True),                  # 1/16 is 6.25: a half may be rounded either way
    # 2628/3368 is 78.029; 2721 and 2722 give 80.790 and 80.819
    ("78.03", 3368, True), ("80.80", 3368, False)])
def test_which_figures_a_count_can_round_to(value, n, expected):
    assert possible(Decimal(value), n) is expected


def test_a_table_that_can_be_true_has_no_findings(tmp_path):
    rows = [{"method": "A [9]", "here": [16.67, 100], **NET}, {"method": "B [1]", "here": None}]
    assert findings(tmp_path, first=table(rows)) == []


def test_single_shot_map_below_rank_one(tmp_path):
    rows = [{"method": "A", "here": [50, 49.9]}, {"method": "B", "here": [50, 50]}]
    columns = {"here": ["rank-1", "mAP"]}
    (kind, text), = findings(tmp_path, first=table(rows, columns=columns))
    assert kind == "mAP below rank-1" and "Table I, A: mAP 49.9 is below rank-1 50.0" in text
    market = table(rows, columns=columns, protocol="market1501")       # there it may be
    assert findings(tmp_path, first=market) == []


def test_a_cmc_that_falls(tmp_path):
    rows = [{"method": "A", "here": [60, 50.5]}, {"method": "B", "here": [50, 50]}]
    (kind, text), = findings(tmp_path, first=table(rows))
    assert kind == "CMC falls" and text == "Table I, A: rank-5 50.5 is below rank-1 60.0; a CMC never falls"


def test_a_figure_that_no_count_can_round_to(tmp_path):
    # 2 splits of 3 queries: sixths. The splits are those of the paper's own rows: B's figure may be of any.
    rows = [{"method": "A", "here": [33.34, 50], **NET}, {"method": "B", "here": [33.34, 50]}]
    (kind, text), = findings(tmp_path, first=table(rows))
    assert kind == "no k/N" and text == "Table I, A: rank-1 33.34 is no k/6 (here)"
    rows[0] = {"method": "A", "here": None, "open": [33.34, 50], **NET}
    assert findings(tmp_path, first=table(rows, columns={"here": [1, 5], "open": [1, 5]})) == []


def test_one_split_holds_for_competitors_too_and_their_last_zeros_for_nothing(tmp_path):
    rows = [{"method": "A", "fixed": [24.99, 25]}, {"method": "B", "fixed": [30.12, 30.12]}]
    content = load(file(tmp_path, first=table(rows, columns={"fixed": [1, 5]})))
    found = [(n, fits) for _, _, n, fits in counted(content)]
    assert found == [(4, False), (4, True), (4, False), (4, False)]
    rows = [{"method": "A", "seen": [14.30, 50.01]}]    # 1/7 is 14.29 at two decimals, 14.3 at one
    path = file(tmp_path, first=table(rows, columns={"seen": [1, 5]}, datasets=["fixed"]))
    path.write_text(path.read_text().replace("queries: 4", "queries: 7"))
    assert [fits for *_, fits in counted(load(path))] == [True, False]


def test_a_table_of_either_dataset_is_wrong_where_it_fits_neither(tmp_path):
    rows = [{"method": "A", "figures": [16.67], **NET}, {"method": "B", "figures": [25], **NET},
            {"method": "C", "figures": [26.01], **NET}]
    (_, text), = findings(tmp_path, first=table(rows, columns={"figures": [1]}, datasets=["here", "fixed"]))
    assert text == "Table I, C: rank-1 26.01 is no k/6 (here) and no k/4 (fixed)"


def test_the_same_figure_in_two_tables(tmp_path):
    first = table([{"method": "A", "open": [33.33, 50], **NET}], columns={"open": [1, 5]})
    second = table([{"method": "B", "fixed": [50], **NET}, {"method": "C", "fixed": [75]}],
                   title="Table II, other", columns={"fixed": [1]})
    assert findings(tmp_path, first=first, second=second) == [
        ("same figure in two tables", "Table I, A: rank-5 50.00 is Table II, B: rank-1 50")]
    first["rows"][0]["open"] = [74.96, 80]    # near C's, which is of another net: nothing
    assert findings(tmp_path, first=first, second=second) == []
    first["rows"][0]["open"] = [50.05, 80]    # near B's, one net and measure
    assert findings(tmp_path, first=first, second=second) == [
        ("same figure in two tables", "Table I, A: rank-1 50.05 is about Table II, B: rank-1 50")]


def test_two_figures_for_one_experiment_unless_one_is_not_pretrained(tmp_path):
    first = table([{"method": "A", "here": [50, 100], **NET}])
    second = table([{"method": "B", "figures": [83.33], **NET}], "Table II, x", columns={"figures": [1]},
                   datasets=["here"])
    assert findings(tmp_path, first=first, second=second) == [
        ("two figures for one experiment",
         "Table I, A: rank-1 50, but Table II, B: rank-1 83.33: both are of here")]
    second["rows"][0]["pretrained"] = False
    assert findings(tmp_path, first=first, second=second) == []


def test_a_row_from_two_datasets_is_a_mixture(tmp_path):
    first = table([{"method": "A", "here": [50, 100], **NET}])
    second = table([{"method": "B", "fixed": [75, 61.2], **NET}], "Table II, x", "market1501",
                   {"fixed": ["rank-1", "mAP"]})
    third = table([{"method": "C", "figures": [50, 61.2], **NET}], "Table III, y", "market1501",
                  {"figures": ["rank-1", "mAP"]}, datasets=["here"])

    def mixed():
        found = findings(tmp_path, first=first, second=second, third=third)
        return [text for kind, text in found if kind == "mixture of datasets"]
    assert mixed() == [
        "Table III, C: rank-1 50.0 is that of here, mAP 61.2 is that of fixed in another table"]
    third["rows"][0]["figures"] = [75, 61.2]
    assert mixed() == []


def test_a_method_without_a_reference(tmp_path):
    rows = [{"method": method, "here": None} for method in ("A [10]", "B [9]", "C")]
    assert findings(tmp_path, first=table(rows)) == [
        ("no such reference", "Table I, A [10]: the list of references has 1 to 9")]


@pytest.mark.parametrize("change, words", [
    (dict(columns={"where": [1, 5]}), ["dataset 'where'", "fixed, here, open"]),
    (dict(columns={"here": [1, "rank-5"]}), ["'rank-5'", "rank-1 or mAP"]),
    (dict(protocol="multi-shot"), ["protocol is 'multi-shot'", "single-shot"]),
    (dict(rows=[{"here": [1, 2]}]), ["no method"]),
    (dict(rows=[{"method": "A", "here": [1]}]), ["A has [1]", "2 numbers"]),
    (dict(rows=[{"method": "A", "here": [1, 101]}]), ["101", "0 to 100"]),
    (dict(title=None), ["title is None"]),
])
def test_a_file_that_is_no_table_is_refused(change, words, tmp_path):
    path = file(tmp_path, first=table([]) | change)
    with pytest.raises(InputError) as error:
        load(path)
    assert all(word in str(error.value) for word in [str(path), "first", *words]), error.value


def test_what_is_found_in_the_paper():
    found = find(load(PAPER))

    def of(kind):
        return [finding.text for finding in found if finding.kind == kind]
    assert len(of("mAP below rank-1")) == 12 and all("Table III" in text for text in of("mAP below rank-1"))
    assert of("CMC falls") == []
    twice = "Table I, Ours (ResNet-50), cuhk03: rank-1 80.80 is Table III, ResNet-50 (V+I): rank-1 80.80"
    assert twice in of("same figure in two tables")
    assert of("mixture of datasets") == [
        "Table III, ResNet-50 (V+I): rank-1 80.80 is that of cuhk03, mAP 58.30 is that of market1501 in "
        "another table"]
    assert of("no such reference") == ["Table II, DADreid [32]: the list of references has 1 to 31"]
    own = {str(figure.value): fits for figure, *_, fits in counted(load(PAPER))
           if figure.table == "Table II" and figure.net}
    assert own == {"63.78": True, "72.45": True, "68.73": False, "75.26": False, "72.34": False,
                   "79.43": False, "78.03": True, "82.97": False}


def test_the_queries_are_those_of_the_datasets():
    datasets = load(PAPER)["datasets"]
    rules = {"viper": "viper", "cuhk01": "cuhk01-p100", "cuhk03": "cuhk03"}
    assert {name: entry["queries"] for name, entry in datasets.items()} == {
        **{name: RULES[rule].test for name, rule in rules.items()}, "market1501": COUNTS["query"]}
    assert all(datasets[name]["splits"] == RULES[name].splits for name in ("viper", "cuhk03"))


def test_command_prints_the_findings_and_fails_where_there_are_any(tmp_path):
    run = partial(programs.run, "tools/check_paper.py")
    done = run()
    assert done.returncode == 1 and "mixture of datasets: 1" in done.stdout
    assert "market1501: 9 of 14 CMC figures are a k/3368; of arbitrary ones 34% would be" in done.stdout
    good = run(file(tmp_path, first=table([{"method": "A", "here": [50, 100], **NET}])))
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "0 findings")
    missing = run(tmp_path / "none.yaml")
    assert missing.returncode == 2 and "none.yaml: cannot be read" in missing.stderr
