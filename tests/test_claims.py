"""The paper's claims: verdicts from paired differences, worked by hand and beside SciPy's own test."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats
from test_report import figures, weights, write

from reid.common.errors import InputError
from reid.report import claims
from reid.report.claims import CONTRADICTED, REPRODUCED, UNDECIDED
from reid.report.results import gather

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = claims.load(ROOT / "experiments/claims.yaml")
WEIGHTS = {"name": "resnet50", "weights": {"file": "w", "sha256": "00"}}


def step(stage):
    return {"stage": stage, "split": "split00", "base": "resnet50", "objective": "vi", "iterations": 9,
            "settings": {}, "seed": 0, "manifest_sha256": "11", "weights": weights("w"), "dataset": stage,
            "generated": False, "verification_head": "fresh",
            "versions": {"caffe": None, "caffe_build": None, "code_sha256": None}}


RANDOM = {"init": None, "lineage": [{"name": "random weights", "seed": 0, "weights": None}, step("viper")]}


def imagenet(*between):
    about = {"lineage": [WEIGHTS, *map(step, between), step("viper")]}
    return {**about, "parent": weights("w", stage=between[-1])} if between else about


def judged(folder):
    return {claim.name: claim for claim in claims.judge(ENTRIES, gather(folder))}


def test_an_interval_is_the_paired_t_tests():
    rng = np.random.default_rng(3)
    one, other = rng.normal(40, 3, 10), rng.normal(38, 3, 10)
    found = claims.compare("", "", "viper", list(one - other), [])
    reference = stats.ttest_rel(one, other).confidence_interval(.95)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))
    assert found.wilcoxon == pytest.approx(stats.wilcoxon(one, other).pvalue)
    # by hand: differences 1, 2, 3: mean 2, s = 1, t(2) = 4.3027
    found = claims.compare("", "", "viper", [1., 2., 3.], [])
    assert (found.low, found.high) == pytest.approx((2 - 4.3027 / 3 ** .5, 2 + 4.3027 / 3 ** .5), abs=1e-4)


@pytest.mark.parametrize("differences, verdict", [
    ([2, 2.5, 3], REPRODUCED), ([-2, -2.5, -3], CONTRADICTED), ([-1, 2, 3], UNDECIDED), ([9], UNDECIDED),
    ([9, 9.1], UNDECIDED), ([0, 0, 0], UNDECIDED)])
def test_one_comparison(differences, verdict):
    assert claims.compare("", "", "viper", differences, []).verdict == verdict


def test_both_losses_over_three_splits(tmp_path):
    """V+I is 10 points above I and 20 above V on each split, about."""
    for name, base in (("vi", .5), ("i", .4), ("v", .3)):
        for split in range(3):
            write(tmp_path / name, split, .05, base + split * (.01 if name == "vi" else .012),
                  about={"objective": name, **imagenet()})
    claim = judged(tmp_path)["both-losses"]
    assert claim.verdict == REPRODUCED
    (over_i,), (over_v,) = claim.parts.values()
    assert over_i.differences == pytest.approx([10, 9.8, 9.6]) and over_v.differences == pytest.approx(
        [20, 19.8, 19.6])
    assert all(claim.verdict == UNDECIDED for name, claim in judged(tmp_path).items()
               if name != "both-losses")


def test_both_losses_are_not_claimed_of_random_weights(tmp_path):
    """Of a ResNet-50 from scratch the paper's own Table III has V above V+I."""
    for start in (imagenet("cuhk01"), RANDOM):
        for name, rank1 in (("vi", .5), ("i", .4)):
            for split in range(3):
                write(tmp_path / name / str(start["lineage"][0]["name"]), split, .05, rank1,
                      about={"objective": name, **start})
    (over_i,), _ = judged(tmp_path)["both-losses"].parts.values()
    assert over_i.differences == pytest.approx([10] * 3) and "start chain" in over_i.about


def test_of_a_run_that_was_trained_again_the_last_time_counts(tmp_path):
    for name, objective, rank1, day in (("a", "vi", .52, 3), ("b", "vi", .54, 2), ("c", "i", .40, 1)):
        write(tmp_path / name, 0, .05, rank1, about={"objective": objective, **imagenet(),
                                                     "finished": f"2026-11-{day:02d} 10:00"})
    (over_i,), _ = judged(tmp_path)["both-losses"].parts.values()
    assert over_i.differences == pytest.approx([12])


def test_one_run_of_each_decides_nothing(tmp_path):
    for name, rank1 in (("vi", .9), ("i", .1), ("v", .1)):
        write(tmp_path / name, 0, .05, rank1, about={"objective": name, **imagenet()})
    claim = judged(tmp_path)["both-losses"]
    assert claim.verdict == UNDECIDED
    assert [len(one.differences) for found in claim.parts.values() for one in found] == [1, 1]


def test_seeds_count_as_splits_do_and_other_settings_are_not_compared(tmp_path):
    for seed in range(3):
        write(tmp_path / f"a{seed}", 0, .05, .5 + seed / 100, about=imagenet("large", "cuhk01"), seed=seed)
        write(tmp_path / f"b{seed}", 0, .05, .4 + seed / 90, about=imagenet(), seed=seed)
        write(tmp_path / f"c{seed}", 0, .05, .9, about=imagenet(), seed=seed, lr=.5)
    claim = judged(tmp_path)["chain"]
    (found,), = claim.parts.values()
    assert len(found.differences) == 3 and claim.verdict == REPRODUCED
    assert judged(tmp_path)["pre-training"].parts == {"ImageNet over random weights": []}


def test_random_weights_have_no_stored_statistics_to_be_compared_by(tmp_path):
    for split in range(3):
        for name, about, rank1, norm in (("a", imagenet(), .5, "stored"), ("b", imagenet(), .9, "batch"),
                                         ("c", RANDOM, .3, "batch")):
            write(tmp_path / name, split, .05, rank1, about=about, batch_norm=norm)
    (found,), = judged(tmp_path)["pre-training"].parts.values()
    assert found.differences == pytest.approx([20, 20, 20])


def test_one_comparison_against_it_contradicts_a_claim(tmp_path):
    for dataset, better in (("viper", .1), ("cuhk01", -.1)):
        for split in range(3):
            about = {"stage": dataset, "dataset": dataset}
            write(tmp_path / dataset / "chain", split, .05, .5 + better + split / 100,
                  about={**about, **imagenet("large")})
            write(tmp_path / dataset / "direct", split, .05, .5 + split / 90, about={**about, **imagenet()})
    claim = judged(tmp_path)["chain"]
    assert claim.verdict == CONTRADICTED
    assert {one.dataset: one.verdict for found in claim.parts.values() for one in found} == {
        "viper": REPRODUCED, "cuhk01": CONTRADICTED}


def test_what_transfer_rests_on_is_a_difference_of_gains(tmp_path):
    """I gains 20 points by pre-training, V 5: the gains differ by 15."""
    for name, objective, about, rank1 in (("a", "i", imagenet(), .6), ("b", "i", RANDOM, .4),
                                          ("c", "v", imagenet(), .35), ("d", "v", RANDOM, .3)):
        for split in range(3):
            write(tmp_path / name, split, .05, rank1 + split / 1000 * (name == "a"),
                  about={"objective": objective, **about})
    claim = judged(tmp_path)["identification-transfers"]
    (found,), = claim.parts.values()
    assert found.differences == pytest.approx([15, 15.1, 15.2]) and claim.verdict == REPRODUCED


def market(single, multiple):
    def one(rank1):
        return {**figures(rank1), "mAP": {"trapezoid": .3, "step": .35}}
    return {"stage": "market1501", "dataset": "market1501", "protocol": "market1501",
            "after": {**one(single), "multi_query": {"mean": one(multiple), "max": one(.1)}}}


def test_lambda_is_compared_with_each_other_value(tmp_path):
    for seed in range(3):
        for weight, rank1 in ((1, .60), (3., .70), (5, .65), (9, .72)):
            write(tmp_path / f"{weight}-{seed}", 0, .05, .1, seed=seed, verif_weight=weight,
                  about={**market(rank1 + seed / 1000 * weight, .8 + seed / 1000 * weight), **imagenet()})
    claim = judged(tmp_path)["lambda"]
    smaller, larger = claim.parts.values()
    assert [one.verdict for one in smaller] == [REPRODUCED]
    assert sorted(one.verdict for one in larger) == [CONTRADICTED, REPRODUCED]    # 9 and 5
    assert claim.verdict == CONTRADICTED
    multiple = judged(tmp_path)["multiple-query"]
    assert multiple.verdict == REPRODUCED
    assert sorted(round(one.mean) for found in multiple.parts.values() for one in found) == [8, 10, 15, 20]


@pytest.mark.parametrize("change, said", [
    ({"measure": "rank-7"}, "needs claim, paper, measure"),
    ({"parts": [{"name": "x", "more": [{"objective": "vi"}], "less": []}]},
     "as many terms in more as in less"),
    ({"parts": [{"name": "x", "more": [{"objective": "w"}], "less": [{}]}]}, "objective is 'w'; it is one of "
                                                                             "vi"),
    ({"starts": ["caffe"]}, "start is 'caffe'; it is one of "),
    ({"parts": [{"name": "x", "more": [{"colour": "w"}], "less": [{}]}]}, "there is no key 'colour'"),
    ({"parts": [{"name": "x", "more": [{"verif_weight": {"near": 3}}], "less": [{}]}]},
     "a number, or below")])
def test_a_bad_claim_is_an_error_that_names_it(tmp_path, change, said):
    content = yaml.safe_load((ROOT / "experiments/claims.yaml").read_text())
    content["claims"]["chain"].update(change)
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=f"claims.yaml: claim chain.*{said}"):
        claims.load(tmp_path / "claims.yaml")
