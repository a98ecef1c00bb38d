"""The recipes: what their nets and solvers are, against what was published; precedence; what is refused."""

import json
from types import SimpleNamespace

import numpy as np
import programs
import pytest
import yaml
from test_chain import request

from reid.common.errors import InputError
from reid.engine.schedule import schedule
from reid.engine.settings import defaults, override
from reid.nets.prototxt import stage_nets, stage_solver
from reid.stages import plan
from reid.stages.recipe import check_made_for, describe, load
from tools.make_prototxt import HELD_OUT
from tools.train_stage import RECIPES

CLASSES, IMAGES = 751, 12_936    # of Market-1501, to train on
SOLVER = {"base_lr": .001, "momentum": .9, "weight_decay": .0005, "gamma": .1}
# As published, in the publication's own terms: images in an update, updates and when the rate drops; loss
# weights of the mean over all images' identities and of the verification; learning rate of the new layers;
# share that is dropped; norm that gradients are clipped to.
FACTS = {
    "caffe-siamese": dict(
        images=128, updates=18000, drop=16000, identity=1, verification=.5, fresh=1, dropped=0, clip=-1,
        mean=[97.8286, 99.0468, 105.606], crop=224, scale=1),
    "caffe-identification": dict(
        images=16, updates=50000, drop=20000, identity=1, verification=None, fresh=1, dropped=0, clip=-1,
        mean=[104, 117, 124], crop=256, scale=None),
    # 64 pairs, 75 epochs, the last 10 at the lower rate, a weight of 1 for each identification loss
    "paper": dict(
        images=128, updates=75797, drop=65691, identity=2, verification=3, fresh=10, dropped=.5, clip=35,
        mean=[103.0626, 115.9029, 123.1516], crop=224, scale=.1),
}
FACTS["caffe-identification-dropout"] = {**FACTS["caffe-identification"], "dropped": .5}
FACTS["paper-literal"] = {**FACTS["paper"], "clip": -1, "scale": 1}


def settings_of(name):
    recipe = load(RECIPES[name])
    return recipe, override(defaults(recipe.base or "resnet50"), recipe.assignments)


def written(name):
    """The training net and the solver that a recipe writes for Market-1501."""
    recipe, settings = settings_of(name)
    base, objective = recipe.base or "resnet50", recipe.objective or "vi"
    nets = stage_nets(base, objective, CLASSES, settings, "images", "pairs")
    each = IMAGES if recipe.prepared.get("anchors") == "images" else 5 * IMAGES
    pairs = SimpleNamespace(path="pairs", offsets=np.arange(91) * each)
    if recipe.prepared == {}:
        pairs.offsets = pairs.offsets[:76]      # the paper's 75 epochs
    return nets["train"], stage_solver("here", settings, schedule(settings, pairs, HELD_OUT), "prefix")


def test_every_recipe_is_compared():
    assert set(RECIPES) == set(FACTS)


@pytest.mark.parametrize("name", FACTS)
def test_nets_and_solver_are_the_published_ones(name):
    facts = FACTS[name]
    net, solver = written(name)
    layers = {layer.name: layer for layer in net.layer}
    data = json.loads(layers["data"].python_param.param_str)
    assert 2 * data["batch"] * solver.iter_size == facts["images"]
    assert (data["mean"], data["crop"]) == (facts["mean"], facts["crop"])
    assert data["height"] == data["width"] == 224
    # A mean over the pairs' first images and one over their second: each is half of that over all.
    losses = {layer.name: layer.loss_weight[0] for layer in net.layer if layer.type == "SoftmaxWithLoss"}
    assert losses["loss_id_a"] == losses["loss_id_b"] == facts["identity"] / 2
    assert losses.get("loss_verif") == facts["verification"]
    for branch in "ab":
        layer = layers[f"id_fc_{branch}"]
        assert layer.type == "InnerProduct" and layer.inner_product_param.num_output == CLASSES
        assert [(param.name, param.lr_mult) for param in layer.param] == [
            ("id_weight", facts["fresh"]), ("id_bias", 2 * facts["fresh"])]
    assert layers["mask"].dropout_param.dropout_ratio == facts["dropped"]
    assert ("square" in layers) == (facts["scale"] is not None)
    if facts["scale"]:
        square, head = layers["square"], layers["verif_fc"]
        assert square.python_param.layer == "SquaredDifference"
        assert json.loads(square.python_param.param_str) == {"scale": facts["scale"]}
        assert head.inner_product_param.num_output == 2 and head.param[0].lr_mult == facts["fresh"]
    stored = [layer.batch_norm_param.use_global_stats for layer in net.layer if layer.type == "BatchNorm"]
    assert len(stored) == 53 and all(stored)
    assert {key: pytest.approx(getattr(solver, key)) for key in SOLVER} == SOLVER
    assert (solver.max_iter, list(solver.stepvalue)) == (facts["updates"], [facts["drop"]])
    assert solver.clip_gradients == facts["clip"]


def test_the_paper_recipe_is_the_defaults():
    recipe, _ = settings_of("paper")
    assert (recipe.assignments, recipe.prepared, recipe.base, recipe.objective) == ((), {}, None, None)


@pytest.mark.parametrize("name", FACTS)
def test_a_public_recipe_says_its_figures_where_it_was_seen_and_what_differs(name):
    content, recipe = yaml.safe_load(RECIPES[name].read_text()), load(RECIPES[name])
    assert recipe.source and recipe.title
    if not name.startswith("paper"):
        printed = content["printed"]["market1501"]
        assert printed["seen"] and 0 < printed["mAP"] < printed["rank-1"] < 100 and recipe.differs
        assert len(describe(recipe)) == 1 + len(recipe.differs) and recipe.title in describe(recipe)[0]
        assert " at " in recipe.source and all(entry["seen"] for entry in content["settings"].values())


RECIPE = {"title": "t", "source": "s",
          "settings": {"lr": {"value": .002, "seen": "p. 1"}, "dropout": {"value": 0, "seen": "x"},
                       "verif_weight": {"value": .5, "seen": "y"}}}


def recipe_file(folder, **changes):
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({**RECIPE, **changes}))
    return file


@pytest.fixture
def data(prepared_viper, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for stage in ("first", "second", "third"):
        (folder / stage).symlink_to(prepared_viper)
    return folder


def test_the_chain_and_set_have_the_last_word(data, tmp_path):
    mine = load(recipe_file(tmp_path))
    checks = plan.plan(request(data, tmp_path / "out", recipe=mine, assignments=["second.dropout=0.25"]))
    settings = [check.job.settings for check in checks]
    got = [(one.lr, one.dropout, one.verif_weight) for one in settings]
    assert got == [(.002, 0, .5), (.002, .25, .5), (.002, 0, .5)]
    # The chain's file says lr 0.002 of the third stage: it overrides a recipe's, and --set overrides both.
    mine = load(recipe_file(tmp_path, settings={"lr": {"value": .005, "seen": "p. 1"}}))
    checks = plan.plan(request(data, tmp_path / "out", recipe=mine))
    assert [check.job.settings.lr for check in checks] == [.005, .005, .002]
    checks = plan.plan(request(data, tmp_path / "out", recipe=mine, assignments=["lr=0.001"]))
    assert [check.job.settings.lr for check in checks] == [.001] * 3


def test_other_epochs_than_the_recipes_drop_the_rate_in_proportion(data, tmp_path):
    mine = load(recipe_file(tmp_path, settings={"epochs": {"value": 1, "seen": "p. 1"},
                                                "lr_final_epochs": {"value": .6, "seen": "p. 1"}}))

    def last(*assignments):
        checks = plan.plan(request(data, tmp_path / "out", recipe=mine, assignments=list(assignments)))
        return [check.job.settings.lr_final_epochs for check in checks]
    assert last() == [.6] * 3
    assert last("second.epochs=0.5") == [.6, .3, .6]
    assert last("epochs=0.5", "third.lr_final_epochs=0.1") == [.3, .3, .1]


def test_data_that_were_prepared_otherwise_are_refused(data, tmp_path):
    for prepared, words in (({"flip": False}, ["flip true", "--no-flip"]),
                            ({"schedule": "public"}, ["schedule literal", "--schedule public"])):
        mine = load(recipe_file(tmp_path, prepared=prepared))
        with pytest.raises(InputError) as error:
            plan.plan(request(data, tmp_path / "out", recipe=mine))
        assert all(word in str(error.value) for word in ["mine.yaml", "first", *words]), error.value
    plan.plan(request(data, tmp_path / "out", recipe=load(recipe_file(tmp_path, prepared={"flip": True}))))


@pytest.mark.parametrize("changes, words", [
    (dict(rows=1), ["no key 'rows'"]),
    (dict(title=""), ["title is missing"]),
    (dict(base="resnet"), ["base is 'resnet'", "resnet50"]),
    (dict(objective="id"), ["objective is 'id'", "vi, v, i"]),
    (dict(settings={"speed": {"value": 1, "seen": "x"}}), ["no key 'speed'"]),
    (dict(settings={"lr": 1}), ["lr", "mapping"]),
    (dict(settings={"lr": {"value": 1}}), ["lr", "value and seen"]),
    (dict(prepared={"epochs": 3}), ["no key 'epochs'", "schedule, flip, anchors"]),
    (dict(prepared={"flip": "yes please"}), ["prepared: flip is yes please", "false, true"]),
    (dict(prepared={"anchors": "fish"}), ["prepared: anchors is fish", "copies, images"]),
    (dict(differs="nothing"), ["differs", "a list"]),
])
def test_a_file_that_is_no_recipe_is_refused(changes, words, tmp_path):
    with pytest.raises(InputError) as error:
        load(recipe_file(tmp_path, **changes))
    assert all(word in str(error.value) for word in ["mine.yaml", *words]), error.value


def test_a_wrong_value_names_the_file(data, tmp_path):
    mine = load(recipe_file(tmp_path, settings={"lr": {"value": "fast", "seen": "x"}}))
    with pytest.raises(InputError, match="mine.yaml: lr=fast: lr is a number"):
        plan.plan(request(data, tmp_path / "out", recipe=mine))


def test_a_recipe_is_for_its_own_backbone_and_objective():
    own, free = load(RECIPES["caffe-identification"]), load(RECIPES["paper"])
    check_made_for(free, "vgg16", "v")
    check_made_for(own, None, "i")
    check_made_for(own, "resnet50", None)
    for given, said in ((("vgg16", None), "base vgg16: .*identification.yaml is for base resnet50; take"),
                        ((None, "vi"), "objective vi: .*identification.yaml is for objective i; take")):
        with pytest.raises(InputError, match=said):
            check_made_for(own, *given)


def test_the_command_takes_a_recipe_by_name(prepared_viper, tmp_path):
    def run(*arguments, settings=()):
        return programs.run("tools/train_stage.py", "mine", "--data", prepared_viper, "--out",
                            tmp_path / "out", "--dry-run", *arguments, "--set", "epochs=1", *settings)
    own = run("--recipe", "caffe-identification",
              settings=["batch=2", "lr_final_epochs=0.1", "batch_norm=batch"])
    assert "mine split00: start; resnet50, objective i; " in own.stdout, own.stderr
    done = run("--recipe", "paper-literal", "--base", "tiny")
    assert done.returncode == 0 and "mine split00: start" in done.stdout, done.stderr
    assert "recipe paper-literal: The paper, eq. 2 to the letter" in done.stdout
    wrong = run("--recipe", "caffe-siamese", "--base", "tiny")
    assert wrong.returncode == 2 and "caffe-siamese.yaml is for base resnet50" in wrong.stderr
    unknown = run("--recipe", "triplet")
    assert unknown.returncode == 2 and "caffe-identification-dropout" in unknown.stderr
