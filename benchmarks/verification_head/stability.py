r"""Where training by eq. 2 is stable: the map over λ and the scale s of the squares.

Trains ResNet-50 from ImageNet's weights on real VIPeR without clipping, and searches along lines of the map,
halving the interval on a logarithmic scale, for the border between what lasts and what overflows. Beside it
the single cases of docs/verification-head.md. Every trial is kept in --out as soon as it is done and is not
done again; --most N stops after N trials. With --draw alone nothing is trained.

    .venv/bin/python benchmarks/verification_head/stability.py --out FILE.json --data DIR --init FILE
    .venv/bin/python benchmarks/verification_head/stability.py --out FILE.json --draw docs/stability.svg
"""
import argparse
import json
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import caffe
import matplotlib
import numpy as np
from trial import Trial, losses

from reid.common.files import write_whole
from reid.engine.settings import Size, defaults
from reid.features.extract import extract
from reid.formats import manifest as manifests
from reid.formats.image_lmdb import ImageStore
from reid.nets.backbones.registry import BACKBONES
from reid.nets.build import deploy_net
from reid.stages.evaluator import GALLERY, QUERY, Evaluator

BASE, SIZE, PAIRS = "resnet50", (128, 64), 16
BORDER, CASE = 40, 100    # iterations: of a trial on a line, and of a single case
SEEDS = 0, 1
HEADS = {    # dropout, lr_mult of the identification and of the verification layer
    "new": dict(dropout=.5, id_lr_mult=10, verif_lr_mult=10),      # this project's defaults
    "half": dict(dropout=.5, id_lr_mult=1, verif_lr_mult=1),
    "related": dict(dropout=0, id_lr_mult=1, verif_lr_mult=1),     # as in the related Caffe code
}
# (heads, what varies, what is fixed, from, to); halved until the ends differ by less than STEP times
LINES = [("related", "verif_weight", dict(verif_scale=1), .5, 3),
         ("new", "verif_scale", dict(verif_weight=3), .1, 1),
         ("new", "verif_weight", dict(verif_scale=1), .01, .5),
         ("related", "verif_scale", dict(verif_weight=3), .3, 1),
         ("half", "verif_weight", dict(verif_scale=1), .1, 3)]
STEP = 1.3
CASES = [    # name, clip, iterations, heads
    ("literal, lr_mult 10", -1, CASE, dict(verif_scale=1, verif_weight=3, id_weight=1) | HEADS["new"]),
    ("literal, lr_mult 1", -1, CASE,
     dict(verif_scale=1, verif_weight=3, id_weight=1, dropout=.5, id_lr_mult=10, verif_lr_mult=1)),
    ("literal, lr_mult 0.1", -1, CASE,
     dict(verif_scale=1, verif_weight=3, id_weight=1, dropout=.5, id_lr_mult=10, verif_lr_mult=.1)),
    ("literal, no dropout, lr_mult 1", -1, CASE,
     dict(verif_scale=1, verif_weight=3, id_weight=1) | HEADS["related"]),
    ("literal but clip 35, lr_mult 1", 35, CASE,
     dict(verif_scale=1, verif_weight=3, id_weight=1, dropout=.5, id_lr_mult=10, verif_lr_mult=1)),
    ("λ 0.5, no dropout, lr_mult 1", -1, CASE,
     dict(verif_scale=1, verif_weight=.5, id_weight=1) | HEADS["related"]),
    ("related code, 0.5 : 0.5 : 0.5", -1, CASE,
     dict(verif_scale=1, verif_weight=.5, id_weight=.5) | HEADS["related"]),
    ("1 : 1 : 1, no dropout, lr_mult 1", -1, CASE,
     dict(verif_scale=1, verif_weight=1, id_weight=1) | HEADS["related"]),
    ("defaults", 35, CASE, dict(verif_scale=.1, verif_weight=3, id_weight=1) | HEADS["new"]),
]


class Kept:
    """The trials that are done, in one JSON file; the others are done when asked for."""

    def __init__(self, file: Path, arguments: argparse.Namespace) -> None:
        self.file, self.arguments, self.left = file, arguments, arguments.most
        self.trials = json.loads(file.read_text()) if file.exists() else []

    def outcome(self, seed: int, clip: float, iterations: int, heads: dict) -> dict | None:
        """What came of a trial: a dict; None where it is not done and no more are to be done."""
        asked = dict(seed=seed, clip=clip, input=list(SIZE), pairs=PAIRS, **heads)
        for trial in self.trials:
            if trial["asked"] == asked and (trial["iterations"] >= iterations or not trial["lasted"]):
                return trial
        if self.left == 0 or not self.arguments.data:
            return None
        self.left -= 1
        done = {"asked": asked, "iterations": iterations,
                **train(self.arguments, iterations, clip, seed, heads)}
        print(json.dumps(done), flush=True)
        self.trials.append(done)
        write_whole(self.file, "[\n" + ",\n".join(map(json.dumps, self.trials)) + "\n]\n")
        return done


def train(arguments: argparse.Namespace, iterations: int, clip: float, seed: int, heads: dict) -> dict:
    """Train; after a single case rank the test half by what is left of the backbone."""
    ranked = iterations >= CASE
    trial = Trial(data=arguments.data, base=BASE, init=arguments.init, input=SIZE, pairs=PAIRS,
                  iterations=iterations)
    with tempfile.TemporaryDirectory() as folder:
        rows, net, largest = losses(trial, Path(folder), clip, seed, **heads)
        lasted = len(rows) == iterations and bool(np.isfinite(rows).all())
        return dict(done=len(rows), lasted=lasted,
                    identification=means(rows[:, 0]), verification=means(rows[:, 1]),
                    largest_update=largest if np.isfinite(largest) else None,
                    rank_1=rank_1(arguments.data, net, Path(folder)) if lasted and ranked else None)


def means(values: np.ndarray) -> list[float | None]:
    """The first loss, the worst, and the mean of the last ten; None for what is not finite."""
    found = values[0], values.max(), values[-10:].mean()
    return [round(float(value), 4) if np.isfinite(value) else None for value in found]


def rank_1(data: Path, net: caffe.Net, folder: Path) -> float:
    """Rank-1 of split 0's test half, in %, by the backbone of `net`."""
    (folder / "deploy.prototxt").write_text(str(deploy_net(BASE, 8, *SIZE)))
    deploy = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
    deploy.share_with(net)
    judge = Evaluator(manifests.read(Path(data) / "manifest.json"), "split00")
    settings = replace(defaults(BASE), input=Size(*SIZE))
    images = ImageStore(Path(data) / "images")
    features = {side: extract(deploy, BACKBONES[BASE].feature, images, judge.rows[side], settings)
                for side in (QUERY, GALLERY)}
    return round(100 * judge.figures(features)["cmc"]["1"], 2)


def border(kept: Kept, seed: int, heads: str, axis: str, fixed: dict, low: float,
           high: float) -> tuple[float | None, float | None] | None:
    """(largest that lasted, smallest that did not), a factor of STEP apart; None where that is not known."""
    def lasts(value: float) -> bool | None:
        weights = dict(id_weight=1) | fixed | {axis: round(value, 4)} | HEADS[heads]
        found = kept.outcome(seed, -1, BORDER, weights)
        return None if found is None else found["lasted"]

    ends = lasts(low), lasts(high)
    if None in ends:
        return None
    if ends[0] == ends[1]:
        return (high, None) if ends[0] else (None, low)
    while high / low > STEP:
        middle = (low * high) ** .5
        found = lasts(middle)
        if found is None:
            return None
        low, high = (middle, high) if found else (low, middle)
    return low, high


def table(kept: Kept) -> None:
    """Print the cases and the borders, as they are in docs/verification-head.md."""
    print("| case | seed | clip | λ : id : id | iterations | worst verification | identification, last | "
          "rank-1 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (name, clip, iterations, heads), seed in product(CASES, SEEDS):
        found = kept.outcome(seed, clip, iterations, heads)
        if found:
            ends = "overflow | | "
            if found["lasted"]:
                worst, last = found["verification"][1], found["identification"][2]
                ends = f"{worst:.2f} | {last:.2f} | {found['rank_1']:.1f}"
            print(f"| {name} | {seed} | {'none' if clip < 0 else clip} | {heads['verif_weight']:g} : "
                  f"{heads['id_weight']:g} : {heads['id_weight']:g} | {found['done']} | {ends} |")
    print("\n| heads | varies | fixed | seed | lasts at | overflows at | λ·s² between |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for seed, (heads, axis, fixed, low, high) in product(SEEDS, LINES):
        found = border(kept, seed, heads, axis, fixed, low, high)
        if found and None not in found:
            power = 1 if axis == "verif_weight" else 2
            other = fixed.get("verif_weight", 1) * fixed.get("verif_scale", 1) ** 2
            between = " and ".join(f"{other * end ** power:.3f}" for end in found)
            print(f"| {heads} | {axis} | {fixed} | {seed} | {found[0]:.3g} | {found[1]:.3g} | {between} |")


def draw(kept: Kept, file: Path) -> None:
    """Draw every trial without clipping in the plane of λ and s, one panel for each choice of heads."""
    matplotlib.use("Agg")
    from matplotlib import pyplot
    pyplot.rcParams.update({"svg.hashsalt": "stability", "svg.fonttype": "none", "font.size": 9})
    tried = [heads for heads in HEADS.values()
             if any(heads.items() <= trial["asked"].items() for trial in kept.trials)]
    figure, panels = pyplot.subplots(1, len(tried), figsize=(3.7 * len(tried), 4), sharey=True, squeeze=False,
                                     layout="constrained")
    panels = panels[0]
    for panel, heads in zip(panels, tried):
        trials = [trial for trial in kept.trials
                  if trial["asked"]["clip"] < 0 and trial["asked"]["input"] == list(SIZE)
                  and trial["asked"]["id_weight"] == 1 and heads.items() <= trial["asked"].items()]
        for lasted, mark, colour in ((True, "o", "tab:blue"), (False, "x", "tab:red")):
            chosen = [trial for trial in trials if trial["lasted"] == lasted]
            # The second seed a little to the right, so that both are seen
            panel.plot([trial["asked"]["verif_weight"] * 1.06 ** trial["asked"]["seed"] for trial in chosen],
                       [trial["asked"]["verif_scale"] for trial in chosen], mark, color=colour,
                       fillstyle="none", label="lasts" if lasted else "overflows")
            for trial in chosen if not lasted else []:
                asked = trial["asked"]
                panel.annotate(str(trial["done"]), (asked["verif_weight"], asked["verif_scale"]),
                               textcoords="offset points", xytext=(5, 4 - 9 * asked["seed"]),
                               fontsize=6, color=colour)
        panel.set(xscale="log", yscale="log", xlim=(.008, 5), ylim=(.08, 1.6),
                  xlabel="weight λ of verification",
                  title=f"dropout {heads['dropout']:g}, lr_mult of both heads {heads['id_lr_mult']:g}")
    panels[0].set_ylabel("scale s of the differences")
    panels[0].legend(loc="lower left", fontsize=7)
    figure.suptitle("Real VIPeR, ResNet-50, 128×64, 16 pairs, no clipping:\nthe number is the iteration of "
                    f"the overflow; a circle lasted {BORDER} or more", fontsize=9)
    figure.savefig(file, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the trials that are done")
    parser.add_argument("--data", type=Path, help="prepared VIPeR; split 0 is used")
    parser.add_argument("--init", type=Path, help="ImageNet's weights")
    parser.add_argument("--most", type=int, default=-1, help="stop after this many trials")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="draw the map")
    arguments = parser.parse_args()
    kept = Kept(arguments.out, arguments)
    for seed in SEEDS:
        for heads, axis, fixed, low, high in LINES:
            border(kept, seed, heads, axis, fixed, low, high)
        for _, clip, iterations, heads in CASES:
            kept.outcome(seed, clip, iterations, heads)
    table(kept)
    if arguments.draw:
        draw(kept, arguments.draw)
    return 0


if __name__ == "__main__":
    sys.exit(main())
