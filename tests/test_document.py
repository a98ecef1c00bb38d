"""The report's page: every figure in it is that of a result.json or of the paper, and it stands alone."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev

import pytest
import yaml
from test_claims import imagenet, market
from test_report import write

from tools import report as tool

ROOT = Path(__file__).resolve().parents[1]
PAPER = yaml.safe_load((ROOT / "experiments/paper.yaml").read_text())
VOID = {"meta", "br", "img", "path"}


class Page(HTMLParser):
    """What a page holds: tables as rows of (tag, attributes, text), ids, links, and elements left open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tables, self.tags = [], [], [], {}, []
        self.table = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        if tag == "table":
            self.table = []
        if tag == "tr":
            self.table.append([])
        if tag in ("td", "th"):
            self.table[-1].append([tag, attributes, ""])
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            title = self.table[0][0][2], tuple(cell[2] for cell in self.table[0])
            self.tables.setdefault(title, []).append(self.table)

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.table[-1][-1][2] += data


def grid(table):
    """The rows of a table as texts, cells that span several repeated."""
    rows, above = [], {}
    for row in table:
        cells, column = [], 0
        waiting = list(row)
        while waiting or above.get(column, (0,))[0]:
            if above.get(column, (0,))[0]:
                left, text = above[column]
                above[column] = left - 1, text
                cells.append(text)
                column += 1
                continue
            _, attributes, text = waiting.pop(0)
            for _ in range(int(attributes.get("colspan", 1))):
                above[column] = int(attributes.get("rowspan", 1)) - 1, text
                cells.append(text)
                column += 1
        rows.append(cells)
    return rows


@pytest.fixture
def runs(tmp_path):
    """VIPeR over three splits, Market-1501 with two λ, generated people: each with figures of its own."""
    for split, rank1 in enumerate((.4012, .4246, .4733)):
        write(tmp_path / "viper", split, .0512, rank1, about=imagenet("large", "cuhk01"))
        write(tmp_path / "direct", split, .0512, rank1 - .1, about=imagenet())
    for weight in (1, 3):
        write(tmp_path / f"market{weight}", 0, .05, .1, about={**market(.6 + weight / 37, .81), **imagenet()},
              verif_weight=weight)
    write(tmp_path / "made", 0, .05, .77, base="tiny", generated=True)
    return tmp_path


def page_of(folder):
    return tool.write(tool.load(folder))


def results(folder):
    return {str(file.parent.relative_to(folder)): json.loads(file.read_text())
            for file in folder.rglob("result.json")}


def test_the_page_stands_alone_and_is_whole(runs):
    text = page_of(runs)
    page = Page(text)
    assert not page.open and len(set(page.ids)) == len(page.ids)
    assert page.links and all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not [tag for tag, attributes in page.tags if tag in ("script", "link", "iframe", "base")]
    assert not re.search(r"url\(|@import", text)
    assert not [attributes["src"] for _, attributes in page.tags
                if "src" in attributes and not attributes["src"].startswith("data:")]
    named = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert named and all(set(one["aria-labelledby"].split()) <= set(page.ids) for one in named)
    assert ("html", {"lang": "en"}) in page.tags
    assert all(attributes.get("alt") is not None for tag, attributes in page.tags if tag == "img")
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in zip(levels, levels[1:]))


def tables(text, *heads):
    """The grids of the tables whose first row has these heads."""
    return [grid(table) for (_, first), found in Page(text).tables.items() for table in found
            if all(head in first for head in heads)]


def test_table_one_by_hand(runs):
    rows, *_ = tables(page_of(runs), "VIPeR", "Whose")
    ours = [row for row in rows if row[0] == "Ours (ResNet-50)"]
    # mean of 40.12, 42.46, 47.33; deviation by hand √((3.183² + .843² + 4.027²)/2)
    assert ours[0][1:5] == ["paper", "51.30", "82.32", "90.24"]
    assert ours[1][1:5] == ["ours", "43.30 ± 3.68 n=3", "50.00 ± 0.00 n=3", "75.00 ± 0.00 n=3"]
    assert ours[2][1:5] == ["difference", "−8.00", "−32.32", "−15.24"]
    assert ours[1][5] == "not run: nothing trained on this dataset"
    own = [row for row in rows if row[0] == "ResNet-50 (V+I) from ImageNet"]
    assert own[0][1:3] == ["ours",
                           "33.30 ± 3.68 n=3"]    # what the paper has no row for: straight from ImageNet
    vgg = [row for row in rows if row[0] == "Ours (VGG16)"]
    assert [row[2] for row in vgg] == ["46.89", "not run: no VGG16 trained here"]


@pytest.mark.parametrize("images", ["aa55aa55ff", "bb66bb66ff"])
def test_a_second_run_of_a_row_says_in_which_settings_it_differs(images, tmp_path):
    """Identification straight from ImageNet is the paper's Baseline, with the default dropout.

    Also where the second run's images are the same ones stored in another way.
    """
    for name, dropout, rank1, stored in (("with", .5, .4, "aa55aa55ff"), ("without", 0., .5, images)):
        data = {"images": stored, "train_pairs": "0", "test_pairs": "0"}
        about = {"objective": "i", "data": data, **imagenet()}
        write(tmp_path / name, 0, .05, rank1, about=about, dropout=dropout)
    rows, *_ = tables(page_of(tmp_path), "VIPeR", "Whose")
    placed = next(row for row in rows if row[:2] == ["ResNet-50-Baseline [18]", "ours"])
    own, = [row for row in rows if row[0].startswith("ResNet-50 (I) from ImageNet")]
    assert placed[2] == "40.00 n=1 and 1 more below"
    assert own[:3] == ["ResNet-50 (I) from ImageNet, dropout=0.0", "ours", "50.00 n=1"]


def test_a_row_of_another_chain_is_not_the_papers(runs):
    rows = tables(page_of(runs), "VIPeR", "Whose")[0]
    base = [row[2] for row in rows if row[0] == "ResNet-50-Baseline [18]"]
    assert base == ["47.30", "not run: no ResNet-50 with I here"]


def figures_of(results):
    """All percentages that may stand in the page, from the results by hand: of a run, and over alike ones."""
    def flat(part):
        for value in part.values():
            if isinstance(value, dict):
                yield from flat(value)
            else:
                yield value

    single = {f"{100 * value:.2f}" for result in results.values()
              for when in ("before", "after", "histogram", "chance")
              if result[when] for value in flat({key: value for key, value in result[when].items()
                                                 if not key.startswith("queries")})}
    over = set()
    ways = {}
    for name, result in results.items():
        ways.setdefault(name.rpartition("/")[0], []).append(result)
    for alike in ways.values():
        if len(alike) > 1:
            for values in zip(*(list(flat(result["after"])) for result in alike)):
                percent = [100 * value for value in values]
                over.add(f"{mean(percent):.2f} ± {stdev(percent):.2f}")
    return single, over


@pytest.mark.parametrize("source", ["synthetic", "measured"])
def test_every_number_of_ours_is_in_a_result(runs, source):
    folder = runs if source == "synthetic" else ROOT / "experiments/measured"
    text, found = page_of(folder), results(folder)
    single, over = figures_of(found)
    seen = 0
    for _, tables_ in Page(text).tables.items():
        for table in tables_:
            for row in grid(table):
                if "ours" in row[:2] or row[-1].endswith("result.json") or row[0] in ("rank-1", "mAP"):
                    for cell in row[2 if "ours" in row[:2] else 1:]:
                        figure = re.fullmatch(r"(\d+\.\d\d(?: ± \d+\.\d\d)?)(?: n=(\d+).*)?", cell)
                        if figure:
                            assert figure[1] in (over if "±" in figure[1] else single), cell
                            assert not figure[2] or ("±" in figure[1]) == (int(figure[2]) > 1)
                            seen += 1
    assert seen > 10


def test_every_number_of_the_papers_is_in_paper_yaml(runs):
    printed = {f"{value:.2f}" for table in ("table1", "table2", "table3") for row in PAPER[table]["rows"]
               for column in PAPER[table]["columns"] for value in row[column] or []}
    seen = [cell for found in Page(page_of(runs)).tables.values() for table in found for row in grid(table)
            if row[1] == "paper" or row[0].endswith("]") and row[1] != "ours" for cell in row[1:]
            if re.fullmatch(r"\d+\.\d\d", cell)]
    assert len(seen) > 100 and set(seen) <= printed


def test_figure_two_has_a_point_for_each_weight(runs):
    text = page_of(runs)
    rows, = tables(text, "λ = 1", "λ = 3")
    assert rows[1][1:] == ["62.70 n=1", "68.11 n=1"]    # .6 + 1/37, .6 + 3/37
    assert "ours, rank-1: 62.7 at 1, 68.11 at 3" in text and "paper, rank-1: 78.03 at 3" in text
    beside, (generated, other) = "Its own points here", tool.load(runs).worlds()
    assert text.count(beside) == 1    # and not among generated people, where there is no curve
    said = tool.markdown(tool.load(runs)).partition("### Fig. 2")[2]
    assert said.index("| λ = 1: ") < said.index("| λ = 3: ") and "| ours | 62.70 (n=1) |" in said
    lines = tool.layout.as_csv(generated[1].figure2(), False).splitlines()[1:]
    assert [line.split(",")[-5] for line in lines if ",rank-1," in line] == ["62.7027", "68.1081"]
    assert not other[1].figure2()


def test_generated_people_are_kept_apart(runs):
    text = page_of(runs)
    assert text.count("GENERATED DATA") == 4
    real, _, made = text.partition("generated-claims\">")
    assert "77.00" not in real.partition("</nav>")[2] and "77.00" in made


def test_the_card_and_what_was_switched_off_stand_with_the_machine(tmp_path):
    computing = {"card": "NVIDIA H200", "threads": 2, "vectors": "AVX2", "switches": {"CAFFE_TF32": "0"}}
    write(tmp_path, 0, .05, .4, about={"machine": "EPYC, 2 cores", "computing": computing})
    assert "EPYC, 2 cores, NVIDIA H200, CAFFE_TF32=0</dd>" in page_of(tmp_path)


def test_an_unfinished_run_is_told_of(runs):
    folder = runs / "baseline/viper/split00"
    folder.mkdir(parents=True)
    (folder / "settings.yaml").write_text(yaml.safe_dump(
        {"stage": "viper", "split": "split00", "base": "resnet50", "objective": "i", "init": {"file": "w"}}))
    (folder / "losses.csv").write_text("iteration,loss_id_a\n1,2.0\n1234,1.0\n")
    rows = tables(page_of(runs), "VIPeR", "Whose")[0]
    assert [row[2] for row in rows if row[0] == "ResNet-50-Baseline [18]"][1] == (
        "being trained: 1,234 iterations so far")


def test_the_experiment_its_scale_and_what_stood_in_the_way_are_said(runs):
    cell = {"row": "baseline", "base": "resnet50", "objective": "i", "chain": "direct", "stage": "viper",
            "split": 0, "run": "x", "state": "cannot be run", "why": "no weights resnet50",
            "result": None}
    small = {**cell, "method": "VGG16-Baseline [17]", "base": "tiny", "state": "finished", "why": "",
             "result": 64 * "0"}
    (runs / "experiment.json").write_text(json.dumps({
        "scale": "short", "about": "a small one", "experiments": {
            "table2": {"title": "Table II", "table": "table2", "cells": []},
            "table1": {"title": "Table I", "table": "table1", "cells": [cell, small]}}}))
    text = page_of(runs)
    assert ("<dt>Experiments</dt><dd>Table I<br>Table II</dd><dt>Scale</dt><dd>short: a small one</dd>"
            in text)
    rows = tables(text, "VIPeR", "Whose")[0]
    said = [[row[2] for row in rows if row[0] == method][1]
            for method in ("ResNet-50-Baseline [18]", "VGG16-Baseline [17]")]
    assert said == ["not run: no weights resnet50", "run with tiny in its place"]


def test_markdown_and_csv_have_the_same_figures(runs):
    said = tool.markdown(tool.load(runs))
    assert "|  | ours | 43.30 ± 3.68 (n=3) | 50.00 ± 0.00 (n=3) | 75.00 ± 0.00 (n=3) | not run" in said
    assert "|  | difference | −8.00 | −32.32 | −15.24 | – |" in said
    _, placed = next(tool.load(runs).worlds())
    lines = tool.layout.as_csv(placed.tables(), False).splitlines()
    assert "table1,Ours (ResNet-50),viper,viper,r=1,False,51.3,43.3033,3.6782,3,-7.9967," in lines
