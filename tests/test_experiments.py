"""Experiments: the committed files, the plan of one, what it skips and why, and what it is written as."""

import json
import re
import shutil
import subprocess
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import programs
import pytest
import yaml
from records import edit

from data_prep import __main__ as prepare_command
from data_prep.prepare import prepare
from reid.common.errors import InputError
from reid.engine.settings import defaults, override
from reid.experiments import show
from reid.experiments.experiment import load, load_scales
from reid.experiments.plan import FINISHED, IMPOSSIBLE, TO_DO, Place, plan, way
from reid.experiments.rates import Rates
from reid.formats import experiment_record, manifest as manifests
from reid.report import paper as papers
from reid.stages import chain, recipe
from tools import run_experiments
from tools.run_experiments import EXPERIMENTS, NAMES, SCALES, SOURCES, report
from tools.train_stage import CHAINS, RECIPES

ROOT = Path(__file__).resolve().parents[1]
PAPER = papers.load(EXPERIMENTS / "paper.yaml")
SMALL = ("batch=4", "max_iter=2", "display=1", "test_every=0", "snapshot_every=1", "workers=0")


def experiment(folder, **changes):
    """Two rows of Table I on VIPeR, both losses and identification, from random weights."""
    content = {"title": "Mine", "table": "table1", "datasets": {"viper": 2}, "rows": {
        "ours": {"method": "Ours (VGG16)", "base": "vgg16", "objective": "vi", "chain": "scratch"},
        "alone": {"method": "VGG16-Baseline [17]", "base": "vgg16", "objective": "i", "chain": "scratch"}}}
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return load(file, PAPER)


def scale(**changes):
    return replace(SCALES["tiny"], **{"generated": {}, "splits": {}, "settings": SMALL, **changes})


def place(data, out, **changes):
    given = dict(data=data, raw=None, sources=SOURCES, out=out, gpus=0, threads=1, elsewhere=False,
                 chains=chain.load(CHAINS), catalogue=None, rates=Rates([out]),
                 recipes={name: recipe.load(file) for name, file in RECIPES.items()})
    return Place(**{**given, **changes})


def states(made):
    return {(cell.row.name, cell.split): cell.state for cell in made.cells}


def cells_of(made):
    """The cells in the folder's experiment.json."""
    cells = experiment_record.read(made.out)["experiments"]["mine"]["cells"]
    return {(cell["row"], cell["split"]): cell for cell in cells}


def run(task):
    done = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True) for command in task.commands]
    assert all(one.returncode == 0 for one in done), done


@pytest.fixture(scope="module")
def data(prepared_viper, tmp_path_factory):
    """A folder of prepared datasets: viper, of split 0 alone."""
    folder = tmp_path_factory.mktemp("datasets")
    (folder / "viper").symlink_to(prepared_viper)
    return folder


@pytest.fixture
def two_splits(generated_viper, tmp_path):
    """A folder of prepared datasets: viper, of splits 0 and 1."""
    prepare("viper", generated_viper, tmp_path / "data/viper", splits=[0, 1], epochs=3)
    return tmp_path / "data"


@pytest.mark.parametrize("name", NAMES)
def test_committed_experiments_are_the_papers(name):
    of = load(EXPERIMENTS / f"{name}.yaml", PAPER)
    for stage, count in of.datasets.items():
        assert count == (PAPER["datasets"][stage]["splits"] or count)
    rows = [row for row in PAPER[of.table].get("rows", ()) if "base" in row]
    assert len(of.rows) == (len(rows) or len(of.rows))    # each row of the paper that can be rebuilt
    for row in rows:
        mine = [one for one in of.rows.values() if (one.method, one.base, one.objective) ==
                (row["method"], row["base"], row["objective"])]
        assert any((one.chain == "scratch") != row.get("pretrained", True) for one in mine)
    text = (EXPERIMENTS / f"{name}.yaml").read_text()
    assert "# Expect" in text and "On a CPU" in text and "On a GPU: " in text


def test_an_experiment_of_ones_own(data, tmp_path):
    """docs/experiments.md's, with VIPeR in the place of Market-1501, at a scale for which there are data."""
    document = (EXPERIMENTS.parent / "docs/experiments.md").read_text()
    text, = re.findall("```yaml\n(.*?)```", document, re.DOTALL)
    file = tmp_path / "published.yaml"
    file.write_text(text.replace("table2", "table1").replace("market1501: 1", "viper: 2"))

    def asked(name):
        return programs.run("tools/run_experiments.py", name, "--scale", "short", "--data", data, "--out",
                            tmp_path / "out", "--dry-run")
    done = asked(file)
    assert done.returncode == 0 and done.stdout.startswith("Published systems in place"), done
    cells = [line.split()[0] for line in done.stdout.splitlines() if " viper " in line[:30]]
    assert list(dict.fromkeys(cells)) == ["siamese", "baseline"], done.stdout
    file.rename(tmp_path / "table1.yaml")
    for name, said in (("table9", "table9: there is no such experiment; give table1, "),
                       (file, "published.yaml: "),
                       (tmp_path / "table1.yaml", "is called as one of this project's is")):
        done = asked(name)
        assert done.returncode == 2 and said in done.stderr
    assert asked(EXPERIMENTS / "table1.yaml").returncode == 0


def test_a_run_that_experiments_share_is_one_folder():
    rows = {name: load(EXPERIMENTS / f"{name}.yaml", PAPER).rows for name in NAMES}
    assert way(rows["table1"]["resnet50-ours"]) == way(rows["table3"]["resnet50-vi"]) == "resnet50-vi-paper"
    assert way(rows["fig2"]["lambda-3"]) == way(rows["table2"]["resnet50-ours"])
    assert way(rows["fig2"]["lambda-1"]) == "resnet50-vi-paper-verif_weight-1.0"
    assert len({way(row) for row in rows["fig2"].values()}) == 6


def test_the_committed_scales_are_read():
    assert list(SCALES) == ["tiny", "short", "medium", "full"]
    assert SCALES["short"].stages["viper"] == ("epochs=1.5",) and "input=128x64" in SCALES["short"].settings
    full = SCALES["full"]
    assert full.settings == ("epochs=75",) and not full.stages and full.base is None


@pytest.mark.parametrize("changes, words", [
    (dict(table="table9"), ["table9", "table1"]),
    (dict(datasets={"viper": 0}), ["viper is 0", "at least 1"]),
    (dict(rows={"x": {"method": "Ours (VGG16)", "base": "vgg16", "objective": "v", "chain": "paper"}}),
     ["row x", "no row 'Ours (VGG16)'"]),
    (dict(rows={"x": {"method": "a", "base": "vgg", "objective": "v", "chain": "paper"}}), ["base is 'vgg'"]),
    (dict(rows={"x": {"method": "a", "base": "vgg16", "objective": "v"}}), ["chain is missing"]),
    (dict(rows={"x": {"method": "a", "speed": 1}}), ["no key 'speed'"]),
    (dict(title=""), ["title is missing"]),
])
def test_a_file_that_is_no_experiment_is_refused(changes, words, tmp_path):
    with pytest.raises(InputError) as error:
        experiment(tmp_path, **changes)
    assert all(word in str(error.value) for word in ["mine.yaml", *words]), error.value


@pytest.mark.parametrize("content, words", [
    ({"s": {}}, ["about is missing"]), ({"s": {"about": "x", "base": "y"}}, ["base is 'y'"]),
    ({"s": {"about": "x", "settings": {"lr": "fast"}}}, ["lr is a number"]),
    ({"s": {"about": "x", "generated": {"viper": {"layout": "viper"}}}}, ["identities, seed, epochs"]),
])
def test_a_file_that_is_no_scale_is_refused(content, words, tmp_path):
    file = tmp_path / "scales.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as error:
        load_scales(file)
    assert all(word in str(error.value) for word in ["scales.yaml", *words]), error.value


def test_cells_are_done_in_their_order_and_finished_ones_leave_no_task(data, tmp_path):
    mine, there = experiment(tmp_path), place(data, tmp_path / "out")
    made = plan(mine, scale(), there)
    assert states(made) == {("ours", 0): TO_DO, ("ours", 1): IMPOSSIBLE,
                            ("alone", 0): TO_DO, ("alone", 1): IMPOSSIBLE}
    assert "not prepared in" in next(cell.why for cell in made.cells if cell.split == 1)
    assert [task.pairs for task in made.tasks.values()] == [8, 8]
    assert all(task.memory > 1e6 for task in made.tasks.values())
    assert any("hours are unknown" in line for line in show.describe(made))
    run(made.tasks["stage/tiny-vi-scratch/viper/split00"])
    again = plan(mine, scale(), place(data, tmp_path / "out"))
    assert states(again)["ours", 0] == FINISHED
    assert list(again.tasks) == ["stage/tiny-i-scratch/viper/split00"]
    # and the finished run tells how long the other will take
    file = made.out / "tiny-vi-scratch/viper/split00/result.json"
    rate = json.loads(file.read_text())["pairs_per_second"]
    assert again.tasks["stage/tiny-i-scratch/viper/split00"].hours == pytest.approx(8 / rate / 3600)
    assert str(tmp_path / "out") in again.rates[0]
    # another experiment on the same runs finds it too, and what is not asked for is only told
    other = plan(mine, scale(), place(data, tmp_path / "out"), rows=["ours"])
    assert not other.tasks and any("not there, not asked for" in line for line in show.describe(other))
    # the report's record: every cell, with the reason of those that cannot be run
    report(again)
    record = experiment_record.read(again.out)
    page = (again.out / "report/report.html").read_text()
    assert "tiny: generated people and a small net of our own" in page
    assert record["scale"] == "tiny" and record["about"] == SCALES["tiny"].about
    cells = cells_of(again)
    assert cells["ours", 0]["run"] == "tiny-vi-scratch/viper/split00"
    assert len(cells["ours", 0]["result"]) == 64
    assert "not prepared" in cells["ours", 1]["why"] and cells["alone", 0]["result"] is None
    written = (again.out / "report/table.txt").stat().st_mtime_ns
    report(again)
    assert (again.out / "report/table.txt").stat().st_mtime_ns == written    # nothing new, nothing done
    edit(file, lambda content: content["settings"].update(lr=1))
    changed = next(cell for cell in plan(mine, scale(), place(data, tmp_path / "out")).cells)
    assert changed.state == IMPOSSIBLE and "was started with" in changed.why


def test_without_flock_no_card_is_waited_for(tmp_path):
    """Where nothing can be locked, it would be for ever."""
    (tmp_path / "bash").symlink_to(shutil.which("bash"))
    ended = subprocess.run(["bash", ROOT / "tools/snakemake/on_free_gpu.sh", "2", tmp_path / "locks", "true"],
                           env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and "flock is missing" in ended.stderr


def test_what_a_card_does_not_compute_is_said_by_the_plan(data, tmp_path):
    rounded = scale(settings=[*SMALL, "arithmetic=bfloat16"])
    made = plan(experiment(tmp_path), rounded, place(data, tmp_path / "out", gpus=1))
    assert set(states(made).values()) == {IMPOSSIBLE} and "computes on a card" in made.cells[0].why


def test_what_is_finished_needs_nothing_that_computes_it(data, tmp_path, monkeypatch):
    mine, there = experiment(tmp_path), place(data, tmp_path / "out")
    run(plan(mine, scale(), there).tasks["stage/tiny-vi-scratch/viper/split00"])

    def refuse(*asked):
        raise InputError("not here")
    monkeypatch.setattr("reid.experiments.plan.check_arithmetic", refuse)
    made = plan(mine, scale(), there)
    assert (states(made)["ours", 0], states(made)["alone", 0]) == (FINISHED, IMPOSSIBLE) and not made.tasks


def test_what_is_wrong_with_one_split_is_not_with_the_others(two_splits, tmp_path):
    """Finished stays finished: another split's settings, data or memory do not change what is known of it."""
    rows = {"ours": {"method": "Ours (VGG16)", "base": "vgg16", "objective": "vi", "chain": "scratch"}}
    mine, there = experiment(tmp_path, rows=rows), place(two_splits, tmp_path / "out")
    run(plan(mine, scale(), there).tasks["stage/tiny-vi-scratch/viper/split00"])
    other = tmp_path / "out/tiny/tiny-vi-scratch/viper/split01"
    other.mkdir()
    asked = yaml.safe_load((other.parent / "split00/settings.yaml").read_text())
    asked["settings"]["lr"] = 1
    (other / "settings.yaml").write_text(yaml.safe_dump(asked))
    made = plan(mine, scale(), there)
    assert states(made) == {("ours", 0): FINISHED, ("ours", 1): IMPOSSIBLE} and not made.tasks
    (other / "settings.yaml").unlink()
    # people are drawn for a split that is not prepared, and the one that is finished is left alone
    drawn = scale(generated={"viper": {"layout": "viper", "identities": 24, "seed": 7, "epochs": 3}})
    edit(two_splits / "viper/manifest.json", lambda content: content["splits"].pop("split01"))
    made = plan(mine, drawn, there)
    assert states(made) == {("ours", 0): FINISHED, ("ours", 1): TO_DO}
    assert list(made.tasks) == ["people/viper", "prepare/viper", "stage/tiny-vi-scratch/viper/split01"]


def test_a_task_that_fails_says_the_error_of_this_start(data, tmp_path, monkeypatch):
    made = plan(experiment(tmp_path), scale(), place(data, tmp_path / "out"), rows=["ours"])
    name, = made.tasks
    log = made.out / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True)
    log.write_text("error: the disk is full\n")
    arguments = Namespace(profile=None, cores=1, gpus=0)
    monkeypatch.setattr(run_experiments, "_supervise", lambda command, environment: 1)
    run_experiments.carry_out(made, arguments, 1)
    report(made)
    assert cells_of(made)["ours", 0]["why"] == ""
    with open(log, "a") as file:
        file.write("error: no memory\n")
    report(made)
    assert cells_of(made)["ours", 0]["why"] == "error: no memory"
    assert list(run_experiments.left(made)) == [f"not finished: {name}: error: no memory; {log}"]


def test_what_is_left_says_whether_it_was_stopped_or_waits_for_another(tmp_path):
    table = load(EXPERIMENTS / "table1.yaml", PAPER)
    made = plan(table, SCALES["tiny"], place(tmp_path / "data", tmp_path / "out"), rows=["resnet50-ours"])
    said = dict(zip(made.tasks, run_experiments.left(made)))
    assert "not finished: people/viper: stopped; " in said["people/viper"]
    assert ": what it needs is not finished; " in said["stage/tiny-vi-paper/viper/split01"]


def test_what_an_engine_that_was_killed_leaves_behind_ends_first(tmp_path):
    """A training that goes on after the list of cells would make it say what is no longer so."""
    training = "trap '' INT; touch begun; sleep 0.5; touch there"
    script = f"cd {tmp_path}; ({training}) & until [ -e begun ]; do sleep 0.05; done; kill -9 $$"
    assert run_experiments._supervise(["bash", "-c", script], {}) == -9
    assert (tmp_path / "there").exists()


def test_reasons_are_those_of_the_stages(data, tmp_path):
    def catalogue(name):
        raise InputError(f"{name}: no weights")
    rows = {name: {"method": "m", "base": "resnet50", "objective": "vi", "chain": name}
            for name in ("paper", "direct", "scratch")}
    fig = experiment(tmp_path, table="figure2", datasets={"viper": 1}, rows=rows)
    made = plan(fig, scale(base=None), place(data, tmp_path / "out", catalogue=catalogue))
    why = {cell.row.name: cell.why for cell in made.cells}
    assert "large" in why["paper"] and why["direct"] == "resnet50: no weights"
    assert not why["scratch"] and list(made.tasks) == ["stage/resnet50-vi-scratch/viper/split00"]
    said = "\n".join(show.describe(made))
    assert "viper split 0  cannot be run: resnet50: no weights" in said and "hours are unknown" in said


def test_people_are_drawn_where_there_are_none(tmp_path):
    drawn = {"viper": {"layout": "viper", "identities": 24, "seed": 7, "epochs": 3}}
    made = plan(experiment(tmp_path), scale(generated=drawn), place(tmp_path / "data", tmp_path / "out"))
    assert list(made.tasks) == ["people/viper", "prepare/viper", *(
        f"stage/tiny-{objective}-scratch/viper/split0{split}"
        for objective in ("vi", "i") for split in (0, 1))]
    assert made.tasks["people/viper"].commands[0][-1] == "--wait"    # for one that a kill has left drawing
    assert made.tasks["prepare/viper"].needs == ("people/viper",)
    assert made.tasks["stage/tiny-vi-scratch/viper/split01"].needs == ("prepare/viper",)
    prepare = made.tasks["prepare/viper"].commands
    assert [command[command.index("--split") + 1] for command in prepare] == ["0-1"]


def options(task):
    """{option: value} of the one command of a task, which ends in --wait."""
    command, = task.commands
    return dict(zip(command[4:-1:2], command[5:-1:2]))


@pytest.fixture
def raw(generated_viper, tmp_path):
    """A folder of raw datasets: a link to viper, and nothing in market1501 and cuhk03."""
    for name in ("market1501", "cuhk03"):
        (tmp_path / "raw" / name).mkdir(parents=True)
    (tmp_path / "raw/viper").symlink_to(generated_viper)
    return tmp_path / "raw"


def test_raw_datasets_are_prepared_where_data_lack_them(raw, tmp_path):
    there, few = place(tmp_path / "data", tmp_path / "out", raw=raw), scale(settings=(*SMALL, "epochs=1.5"))
    made = plan(experiment(tmp_path), few, there, splits=[1])
    assert set(states(made).values()) == {TO_DO}
    assert list(made.tasks) == ["prepare/viper", "stage/tiny-vi-scratch/viper/split01",
                                "stage/tiny-i-scratch/viper/split01"]
    assert all(task.memory > 1e6 for task in made.tasks.values() if task.trains)
    prepares = made.tasks["prepare/viper"]
    assert options(prepares) == {"--raw": str(raw / "viper"), "--out": str(tmp_path / "data/viper"),
                                 "--split": "1", "--epochs": "2"}
    command = " ".join(prepares.commands[0])
    assert f"before the runs: {command}" in show.describe(made)
    assert f"\n# prepare/viper\n{command}\n" in show.shell(made)
    assert "prepare_viper=$(sbatch --parsable --requeue --job-name=prepare/viper --cpus-per-task=1 " \
        f"--mem=1750M --wrap '{command}')" in show.sbatch(made, 0, 1)
    assert prepare_command.main(list(prepares.commands[0][3:])) == 0
    # what is there is not prepared again, and what is added to it is as the rest
    edit(tmp_path / "data/viper/manifest.json", lambda content: content.update(seed=5, flip=False))
    made = plan(experiment(tmp_path), few, there)
    assert options(made.tasks["prepare/viper"])["--split"] == "0"
    assert " --seed 5 --epochs 2 --schedule literal --no-flip --validation 0 --wait" in " ".join(
        made.tasks["prepare/viper"].commands[0])
    ready = made.tasks["stage/tiny-vi-scratch/viper/split01"]
    assert not ready.needs and ready.pairs    # which are known
    # a larger scale
    larger = plan(experiment(tmp_path), scale(settings=(*SMALL, "epochs=75")), there)
    assert not larger.tasks
    for cell in larger.cells:
        assert "epochs is 75, but " in cell.why and "holds pairs for 2: set epochs=2, or prepare the data " \
            "with --epochs 75 into another --data" in cell.why


def test_runs_in_bfloat16_say_nothing_of_how_long_others_take(tmp_path):
    shutil.copytree(EXPERIMENTS / "measured/short/cuhk01", tmp_path / "cuhk01")

    def change(result):
        result["settings"]["arithmetic"] = "bfloat16"
        result["pairs_per_second"] = 20.
    edit(tmp_path / "cuhk01/split00/result.json", change)
    found = Rates([tmp_path])
    settings = override(defaults("resnet50"), ["input=128x64"])
    assert found.of("resnet50", settings, "cpu") is None
    rate, source = found.of("resnet50", replace(settings, arithmetic="bfloat16"), "cpu")
    assert rate == 20 and "resnet50 at 128x64 on the cpu in bfloat16: 20.0 pairs/s" in source


def test_hours_of_unprepared_data_are_estimated_from_runs_on_the_same_dataset(raw, tmp_path):
    rows = {name: {"method": "m", "base": "resnet50", "objective": "vi", "chain": "scratch", "recipe": name}
            for name in ("paper", "images")}
    measured = Rates([EXPERIMENTS / "measured"])
    there = place(tmp_path / "data", tmp_path / "out", raw=raw, rates=measured, elsewhere=True)
    (tmp_path / "images").write_text(yaml.safe_dump(
        {"title": "t", "source": "s", "prepared": {"anchors": "images"}}))
    there.recipes["images"] = recipe.load(tmp_path / "images")

    def planned(*settings):
        made = plan(experiment(tmp_path, table="figure2", datasets={"viper": 1}, rows=rows),
                    scale(base=None, settings=("batch=16", "input=128x64", *settings)), there)
        return {way.split("/")[1]: task for way, task in made.tasks.items() if task.trains}, made
    assert {task.pairs for task in planned("epochs=75")[0].values()} == {None}    # GENERATED.json lies there
    (raw / "viper").unlink()
    (raw / "viper").mkdir()
    tasks, made = planned("epochs=75")
    task, said = tasks["resnet50-vi-scratch"], "\n".join(show.describe(made))
    # 316 people, two images of each, five copies of each image; runs end with a whole batch
    assert task.pairs == pytest.approx(75 * 632 * 5, rel=.01) and task.estimated
    rate, _ = measured.of("resnet50", override(defaults("resnet50"), ["input=128x64"]), "cpu")
    assert task.hours == pytest.approx(task.pairs / rate / 3600)
    assert f"paper   viper split 0  to do, about {task.hours:.1f} h\n" in said
    assert f"training: about {task.hours:.1f} h of one run after the other, and 1 runs whose" in said
    assert f"hours from: viper: about 3168 pairs an epoch, as runs in {EXPERIMENTS}/measured had" in said
    assert tasks["resnet50-vi-scratch-images"].pairs is None    # of which no run has so few
    assert planned("epochs=75", "max_iter=10")[0]["resnet50-vi-scratch"].pairs == 160
    assert planned()[0]["resnet50-vi-scratch"].pairs is None    # as many as are prepared


def test_epochs_are_as_many_as_any_row_takes(raw, tmp_path):
    def prepared(*epochs):
        rows = {f"row{i}": {"method": "m", "base": "tiny", "objective": "i", "chain": "scratch",
                            "settings": settings} for i, settings in enumerate(epochs)}
        made = plan(experiment(tmp_path, table="figure2", rows=rows), scale(),
                    place(tmp_path / "data", tmp_path / "out", raw=raw), rows=["row0"])
        return options(made.tasks["prepare/viper"]).get("--epochs")
    assert prepared({"epochs": 0}) == "1" and prepared({"epochs": 2}, {"epochs": 3.2}) == "4"
    assert prepared({"epochs": 2}, {}) is None    # a row that takes all there are: as many as data_prep's own


def test_rows_whose_recipes_prepare_otherwise_have_data_of_their_own(raw, prepared_viper, tmp_path):
    def row(recipe):
        return {"method": "m", "base": "tiny", "objective": "i", "chain": "scratch", "recipe": recipe}
    rows = {name: row(name) for name in ("paper", "paper-literal", "mirrored", "also-mirrored",
                                         "caffe-identification", "nowhere")}
    table = experiment(tmp_path, table="figure2", datasets={"viper": 1}, rows=rows)
    there = place(tmp_path / "data", tmp_path / "out", raw=raw)
    for name, epochs in (("mirrored", 2), ("also-mirrored", 3)):
        (tmp_path / name).write_text(yaml.safe_dump({
            "title": "t", "source": "s", "prepared": {"flip": False, "anchors": "images"},
            "settings": {"epochs": {"value": epochs, "seen": "x"}}}))
        there.recipes[name] = recipe.load(tmp_path / name)
    made = plan(table, scale(), there)
    own, way_of = tmp_path / "data/anchors-images-flip-false", "stage/tiny-i-scratch"
    assert made.cells[-2].why.endswith("caffe-identification.yaml is for base resnet50; take "
                                       "that, or the recipe's settings without the recipe")
    assert made.cells[-1].why.startswith("row nowhere: recipe 'nowhere' is not known; there are ")
    assert [name for name, task in made.tasks.items() if not task.trains] == [
        "prepare/viper", "prepare/anchors-images-flip-false/viper"]
    plain, other = (" ".join(made.tasks[f"prepare/{name}"].commands[0])
                    for name in ("viper", "anchors-images-flip-false/viper"))
    assert f"--out {tmp_path}/data/viper --split 0 --wait" in plain
    assert f"--out {own}/viper --split 0 --epochs 3 --anchors images --no-flip --wait" in other
    for name, data, needs in (("", tmp_path / "data", "prepare/viper"),
                              ("-paper-literal", tmp_path / "data", "prepare/viper"),
                              ("-mirrored", own, "prepare/anchors-images-flip-false/viper")):
        task = made.tasks[f"{way_of}{name}/viper/split00"]
        assert f"viper --data {data} --out" in " ".join(task.commands[0]) and task.needs == (needs,)
    assert "prepare_anchors_images_flip_false_viper=$(sbatch" in show.sbatch(made, 0, 1)
    # of what is so prepared nothing is wrong, and other splits are added alike
    shutil.copytree(prepared_viper, own / "viper")
    edit(own / "viper/manifest.json", lambda content: content.update(flip=False,
                                                                     readings={"anchors": "images"}))
    again = plan(replace(table, datasets={"viper": 2}), scale(), there, rows=["mirrored"])
    assert not any(cell.why for cell in again.cells if cell.row.name == "mirrored")
    assert again.tasks[f"{way_of}-mirrored/viper/split00"].pairs == 8
    assert "--split 1 --seed 0 --epochs 3 --schedule literal --no-flip --validation 0 --anchors images" \
        in " ".join(again.tasks["prepare/anchors-images-flip-false/viper"].commands[0])
    lost = plan(table, scale(), replace(there, raw=None, data=tmp_path / "none"), rows=["mirrored"])
    assert {cell.row.name: cell.why for cell in lost.cells}["mirrored"].endswith(
        "python -m data_prep viper with --split all --anchors images --no-flip")


def test_a_manifest_is_read_once_until_it_changes(prepared_viper, tmp_path, monkeypatch):
    shutil.copytree(prepared_viper, tmp_path / "data/viper")
    read, files = manifests.read, []
    monkeypatch.setattr(manifests, "read", lambda path: files.append(path) or read(path))
    mine, there = experiment(tmp_path), place(tmp_path / "data", tmp_path / "out")
    assert states(plan(mine, scale(), there))["alone", 0] == TO_DO and len(files) == 1
    edit(tmp_path / "data/viper/manifest.json", lambda content: content["splits"].clear())
    assert states(plan(mine, scale(), there))["alone", 0] == IMPOSSIBLE and len(files) == 2


def test_what_cannot_be_prepared_says_why(raw, tmp_path):
    def why(datasets, **changes):
        mine = experiment(tmp_path, datasets=datasets, rows={"ours": {
            "method": "Ours (VGG16)", "base": "vgg16", "objective": "vi", "chain": "direct"}})
        made = plan(mine, scale(base=None), place(tmp_path / "data", tmp_path / "out", **{
            "raw": raw, "catalogue": lambda name: None, **changes}))
        reasons = {cell.why for cell in made.cells}
        assert len(reasons) == 1 and bool(made.tasks) == (reasons == {""})
        return reasons.pop(), made
    assert why({"viper": 1}, raw=None)[0] == (
        f"not prepared in {tmp_path}/data/viper; give --raw, a folder with the raw datasets, or python -m "
        "data_prep viper with --split all")
    assert f"--raw {raw} has no folder cuhk01: put cuhk01's raw folder there" in why({"cuhk01": 1})[0]

    def catalogue(name):
        raise InputError(f"{name}: no weights")
    assert why({"viper": 1}, catalogue=catalogue)[0] == "vgg16: no weights"
    # `large` is made of two, which lie beside each other
    command, = why({"large": 1})[1].tasks["prepare/large"].commands
    assert command[3:6] == ("large", "--raw", str(raw))
    (raw / "cuhk03").rmdir()
    assert "has no folder cuhk03" in why({"large": 1})[0]


def test_raw_datasets_go_with_no_drawn_people_and_lie_apart(tmp_path):
    for given, of, words in ((tmp_path, "tiny", "draws its own people"), (tmp_path / "x", "short", "no such"),
                             (tmp_path, "short", "lies inside --raw")):
        with pytest.raises(InputError, match=words):
            run_experiments._raw(given, SCALES[of], tmp_path / "data")
    assert run_experiments._raw(tmp_path, SCALES["short"], tmp_path.parent) == tmp_path


def test_stages_before_others_are_shared_and_come_first(tmp_path):
    table = load(EXPERIMENTS / "table1.yaml", PAPER)
    made = plan(table, SCALES["tiny"], place(tmp_path / "data", tmp_path / "out"), rows=["resnet50-ours"])
    names = list(made.tasks)
    for name, task in made.tasks.items():
        assert all(names.index(needed) < names.index(name) for needed in task.needs), name
    tiny = "stage/tiny-vi-paper"
    assert made.tasks[f"{tiny}/viper/split01"].needs == (f"{tiny}/cuhk01/split00", "prepare/viper")
    assert made.tasks[f"{tiny}/cuhk01/split00"].needs == (f"{tiny}/large/split00", "prepare/cuhk01")
    assert made.tasks["prepare/large"].needs == ("people/market1501", "people/cuhk03")
    assert len([name for name in names if name.startswith(tiny)]) == 6    # two of them cells of no row
    few = plan(table, SCALES["tiny"], place(tmp_path / "data", tmp_path / "out"), rows=["resnet50-baseline"])
    assert "prepare/cuhk01" in few.tasks and "prepare/large" not in few.tasks    # nobody asks for it


def test_the_plan_as_plain_commands(data, tmp_path):
    made = plan(experiment(tmp_path), scale(), place(data, tmp_path / "out", elsewhere=True))
    script = show.shell(made)
    assert script.startswith("#!/bin/sh\n# Mine at scale tiny: ")
    assert "not in it: ours, viper split 1" in script
    lines = [line for line in script.splitlines() if line.startswith("tools/train_stage.sh viper")]
    assert len(lines) == 2 and "--objective vi" in lines[0] and "--wait --cpu --threads 1" in lines[0]
    cluster = show.sbatch(made, 1, 4)
    assert cluster.count("sbatch --parsable --requeue") == 2 and "--gres=gpu:1" in cluster
    assert "--dependency=\"afterany:$stage_tiny_vi_scratch_viper_split00:" in cluster
    for text in (script, cluster):
        assert subprocess.run(["sh", "-n"], input=text, text=True).returncode == 0


@pytest.mark.skipif(not shutil.which("flock"), reason="util-linux is missing: nothing but a bundle is here")
def test_a_card_each(tmp_path):
    """Calls at the same time have other cards, and one card is had by one call at a time."""
    script = [ROOT / "tools/snakemake/on_free_gpu.sh", "2", tmp_path, "sh", "-c",
              "echo $CUDA_VISIBLE_DEVICES; read line"]
    first, second = (subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                     for _ in range(2))
    cards = [process.stdout.readline() for process in (first, second)]
    assert sorted(cards) == ["0\n", "1\n"]
    third = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    first.communicate("\n")
    assert third.stdout.readline() == cards[0]
    for process in (second, third):
        process.communicate("\n")
