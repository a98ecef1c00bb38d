"""The settings of a stage: typed, bounded, and errors that say what is allowed."""

import math
from pathlib import Path

import pytest
import yaml

from reid.common.errors import InputError
from reid.engine.settings import ABOUT, FREE, Size, as_plain, as_text, defaults, of_run, override
from reid.nets.solver import solver

ROOT = Path(__file__).resolve().parents[1]


def test_defaults_are_the_papers():
    settings = defaults("resnet50")
    assert (settings.batch, settings.lr, settings.lr_final, settings.crop) == (64, 0.001, 0.0001, 224)
    assert (settings.momentum, settings.weight_decay, settings.dropout,
            settings.verif_weight) == (0.9, 5e-4, .5, 3)
    assert defaults("vgg16").batch == 48 and defaults("tiny").input == Size(64, 64)


def test_values_are_typed():
    settings = override(defaults("tiny"),
                        ["batch=8", "lr=1e-2", "input=128x64", "mean=104,117,123.5", "epochs=none",
                         "max_iter=20", "two_branch=true", "test_view=resize"])
    assert settings.batch == 8 and settings.lr == 0.01 and settings.input == Size(height=128, width=64)
    assert settings.mean == (104, 117, 123.5) and settings.epochs is None and settings.max_iter == 20
    assert settings.two_branch is True and settings.test_view == "resize"
    assert yaml.safe_load(yaml.safe_dump(as_plain(settings))) == as_plain(settings)


@pytest.mark.parametrize("assignment, words", [
    ("learning_rate=1", ["learning_rate", "lr_final", "verif_scale"]),
    ("batch", ["key=value"]),
    ("batch=8.5", ["batch=8.5", "whole number"]),
    ("batch=0", ["batch is 0", "at least 1"]),
    ("pass_pairs=some", ["pass_pairs=some", "a whole number or auto"]),
    ("pass_pairs=5", ["pass_pairs is 5", "divide batch, 32"]),
    ("iter_size=4", ["iter_size is gone", "pass_pairs"]),
    ("input=128", ["HEIGHTxWIDTH"]),
    ("mean=1,2", ["three numbers"]),
    ("two_branch=yes", ["true or false"]),
    ("crop=300", ["crop is 300", "256"]),
    ("test_view=top", ["'top'", "crop, resize"]),
    ("clip_gradients=0", ["clip_gradients", "-1"]),
    ("lr=nan", ["lr is nan"]),
])
def test_errors_name_the_value_and_what_is_allowed(assignment, words):
    with pytest.raises(InputError) as error:
        override(defaults("tiny"), [assignment])
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("base", ["tiny", "vgg16", "resnet50"])
def test_defaults_lie_within_their_bounds(base):
    settings = defaults(base)
    assert override(settings, [f"{key}={as_text(getattr(settings, key))}" for key in ABOUT]) == settings


@pytest.mark.parametrize("key", [key for key, about in ABOUT.items() if about.low != -math.inf])
def test_bounds_are_allowed_and_what_is_beyond_is_not(key):
    about = ABOUT[key]
    text = "{0:d}x{0:d}" if key == "input" else "{}"
    for inside in {about.low, about.high} - {math.inf}:
        also = [f"batch={inside}"] if key == "pass_pairs" else []    # which it has to divide
        override(defaults("tiny"), [f"{key}={text.format(inside)}", *also])
    for outside in {about.low - 1, about.high + 1} - {math.inf}:
        with pytest.raises(InputError, match=rf"^{key} is {text.format(outside)}(\.0)?; it must be "):
            override(defaults("tiny"), [f"{key}={text.format(outside)}"])


def test_a_run_may_resume_with_other_values_of_these_alone():
    assert FREE == {"workers", "threads", "display", "max_iter", "snapshot_every", "keep_snapshots",
                    "test_every", "test_pairs", "evaluate_every"}


def test_paper_numbers_are_whole():
    paper = yaml.safe_load((ROOT / "experiments" / "paper.yaml").read_text())
    assert [len(paper[table]["rows"]) for table in ("table1", "table2", "table3")] == [20, 7, 12]
    text = [row for row in paper["table1"]["rows"] if row["method"] == "Ours (ResNet-50)"][0]
    assert text["viper"] == [51.30, 82.32, 90.24] and text["cuhk03"] == [80.80, 95.03, 98.06]
    for table in ("table1", "table2", "table3"):
        for row in paper[table]["rows"]:
            for column, names in paper[table]["columns"].items():
                assert row[column] is None or (len(row[column]) == len(names) and max(row[column]) <= 100)


def test_the_bound_on_gradients_is_of_the_mean_over_the_passes():
    settings = dict(lr=.001, lr_final=.0001, lr_final_from=9, max_iter=9, momentum=.9, weight_decay=0,
                    test_iter=1, test_interval=9, display=0, snapshot=0, snapshot_prefix="s", seed=0)
    # Caffe bounds the sum
    assert solver("a", "b", iter_size=4, clip_gradients=35, **settings).clip_gradients == 140
    assert solver("a", "b", iter_size=4, clip_gradients=-1, **settings).clip_gradients == -1


def test_settings_of_before_passes_say_the_same_updates():
    old = {**as_plain(defaults("tiny")), "batch": 16, "iter_size": 4, "lr": 0.002}
    del old["pass_pairs"], old["verif_weight"]
    now = of_run("tiny", old)
    assert (now["batch"], now["pass_pairs"], now["lr"], now["verif_weight"]) == (64, 16, 0.002, 3)
    assert "iter_size" not in now
    del old["iter_size"]      # older still
    assert of_run("tiny", old) == {**now, "batch": 16}
    assert of_run("tiny", now) == now
