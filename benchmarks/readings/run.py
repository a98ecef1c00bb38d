"""What does each reading of the paper change? A specification curve on generated people.

Every switch of docs/choices.md that a small net can show, each alone against the defaults, over several
seeds: other people, other pairs and other first weights for each. All are trained for as many updates.

    .venv/bin/python benchmarks/readings/run.py --out DIR [--seeds 3] [--updates 40]

Writes table.md and curve.svg into DIR. What is there already is not done again.
"""
import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("GLOG_minloglevel", "2")    # Caffe's own log: errors only; read when Caffe is imported

import matplotlib
import numpy as np

from data_prep.people.write import write
from data_prep.prepare import prepare
from reid.engine.settings import defaults, override
from reid.formats import result as result_file
from reid.stages.stage import Job, carry_out, check_stage

matplotlib.use("svg")
from matplotlib import pyplot

IDENTITIES = 24    # half of them train
EPOCHS = 8         # prepared; more than any reading uses
COMMON = ["batch=16", "test_every=0", "workers=0", "threads=1", "snapshot_every=100000", "display=100000"]
# name: the backbone, what the data are prepared with, settings
DEFAULT = "the defaults"
SWITCHES = {
    DEFAULT: ("tiny", {}, []),
    "4 passes of 4 pairs (pass_pairs=4)": ("tiny", {}, ["pass_pairs=4"]),
    "a batch of as many images, not pairs (batch=8)": ("tiny", {}, ["batch=8"]),
    "epoch of N anchors (--anchors images)": ("tiny", {"readings": {"anchors": "images"}}, []),
    "five fixed crops (--copies crops)": ("tiny", {"readings": {"copies": "crops"}}, []),
    "mirrored by chance (--flip)": ("tiny", {"flip": True}, []),
    "mirrored, both copies (--mirror both)": ("tiny", {"flip": True, "readings": {"mirror": "both"}}, []),
    "positives of any camera (--positives any)": ("tiny", {"readings": {"positives": "any"}}, []),
    "negatives by identity (--negatives identities)": (
        "tiny", {"readings": {"negatives": "identities"}}, []),
    "ratio of the public code (--schedule public)": ("tiny", {"schedule": "public"}, []),
    "no dropout (dropout=0)": ("tiny", {}, ["dropout=0"]),
}
# BatchNorm's statistics come from a net that was trained before, on people of its own
NORMS = {"BatchNorm, stored": ["batch_norm=stored"], "BatchNorm, of the batch (batch_norm=batch)":
         ["batch_norm=batch"]}


def data(out: Path, name: str, seed: int, options: dict[str, Any]) -> Path:
    """The prepared folder of a seed's people."""
    raw = out / f"seed{seed}/raw/{name}"
    if not (raw / "GENERATED.json").exists():
        write(raw, "market1501", identities=IDENTITIES, seed=10 * seed + (name == "pretraining"))
    key = "-".join(str(value) for option in options.values()
                   for value in (option.values() if isinstance(option, dict) else [option]))
    folder = out / f"seed{seed}/data/{name}-{key or 'defaults'}"
    prepare("market1501", raw, folder, seed=seed, epochs=EPOCHS, **options)
    return folder


def train(out: Path, label: str, seed: int, base: str, prepared: Path, settings: Sequence[str],
          init: Path | None = None) -> tuple[result_file.Result, Path]:
    """The Result of one run, and its folder."""
    name = "".join(letter if letter.isalnum() else "-" for letter in label)
    job = Job(name, prepared, out / f"seed{seed}/runs", base, "vi",
              override(defaults(base), [*COMMON, f"seed={seed}", *settings]), init, None)
    folder, = carry_out(check_stage(job, [0]))
    return result_file.read(folder), folder


def figures(result: result_file.Result) -> np.ndarray:
    """Rank-1 and mAP in per cent."""
    return np.array([100 * result.after["cmc"]["1"], 100 * result.after["mAP"]["trapezoid"]])


def measure(out: Path, seeds: int, updates: int) -> dict[str, np.ndarray]:
    """{name: (seeds, 2)} of all switches."""
    found = {}
    for seed in range(seeds):
        for name, (base, options, settings) in SWITCHES.items():
            result, _ = train(out, name, seed, base, data(out, "people", seed, options),
                              [f"max_iter={updates}", *settings])
            found.setdefault(name, []).append(figures(result))
        _, before = train(out, "pretraining", seed, "tiny-bn", data(out, "pretraining", seed, {}),
                          [f"max_iter={updates}", "batch_norm=batch"])
        init = before / f"snapshots/{updates:06d}/weights.caffemodel"
        for name, settings in NORMS.items():
            result, _ = train(out, name, seed, "tiny-bn", data(out, "people", seed, {}),
                              [f"max_iter={updates}", *settings], init)
            found.setdefault(name, []).append(figures(result))
        print(f"seed {seed} done", flush=True)
    return {name: np.array(values) for name, values in found.items()}


def differences(found: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """[(name, (seeds, 2) its differences to what it is compared with)], the smallest mean of mAP first."""
    stored, batch = NORMS
    rows = [(name, values - found[stored if name == batch else DEFAULT])
            for name, values in found.items() if name not in (DEFAULT, stored)]
    return sorted(rows, key=lambda row: row[1][:, 1].mean())


def table(found: dict[str, np.ndarray]) -> str:
    """The Markdown table."""
    lines = ["| reading | rank-1, % | mAP, % | change of rank-1 | change of mAP |",
             "| --- | ---: | ---: | ---: | ---: |"]
    changes = dict(differences(found))
    for name in [*(name for name in found if name not in changes), *changes]:
        mean = found[name].mean(axis=0)
        cells = ["–"] * 2
        if name in changes:
            error = changes[name].std(axis=0, ddof=1) / len(changes[name]) ** 0.5
            cells = [f"{change:+.1f} ± {one:.1f}" for change, one in zip(changes[name].mean(axis=0), error)]
        lines.append(f"| {name} | {mean[0]:.1f} | {mean[1]:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def curve(found: dict[str, np.ndarray], file: Path) -> None:
    """Draw the changes of rank-1 and mAP of every switch, a dot a seed and a bar for their mean."""
    rows = differences(found)
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 0.38 * len(rows) + 1.4), sharey=True)
    for axis, column, title in zip(axes, (0, 1), ("rank-1", "mAP")):
        for place, (_, values) in enumerate(rows):
            axis.plot(values[:, column], [place] * len(values), "o", color="#999999", markersize=4)
            axis.plot([values[:, column].mean()] * 2, [place - 0.3, place + 0.3], color="#1f77b4",
                      linewidth=3)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_xlabel(f"change of {title}, percentage points")
    axes[0].set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=40)
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    found = measure(out, arguments.seeds, arguments.updates)
    (out / "table.md").write_text(table(found))
    curve(found, out / "curve.svg")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
