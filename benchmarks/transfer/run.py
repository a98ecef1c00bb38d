"""Does transfer help the small set, and do both losses help more than either?

Measured on generated people, over several seeds, each with people of its own for every stage. The same small
set is trained in five ways: with both losses from random weights, from a pre-trained net and at the end of
the whole chain, and from the pre-trained net with either loss alone. README.md has the results.

    .venv/bin/python benchmarks/transfer/run.py --out DIR [--seeds 3]
"""
import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TRAIN, PYTHON = str(ROOT / "tools/train_stage.sh"), str(ROOT / ".venv/bin/python")
# stage: layout, identities, epochs; Market-1501 and CUHK03 are trained on together, as `large`
STAGES = {"pretraining": ("folder", 100, 5), "market1501": ("market1501", 60, None),
          "cuhk03": ("cuhk03", 60, None), "cuhk01": ("cuhk01", 80, 4), "viper": ("viper", 200, 10)}
LARGE_EPOCHS = 2
# The small set after all the others, after one, and alone; Table III's objectives
WAYS = [("paper", "vi"), ("direct", "vi"), ("direct", "v"), ("direct", "i"), ("scratch", "vi")]


def run(*command: object) -> None:
    """Run a command of the project; its output is shown only where it fails."""
    done = subprocess.run(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}")


def data(folder: Path, seed: int) -> None:
    """Generate and prepare the people of every stage: nobody is in two of them, and nobody in two seeds."""
    raw = folder / "raw"
    for number, (stage, (layout, identities, epochs)) in enumerate(STAGES.items()):
        if not (raw / stage).exists():
            run(PYTHON, "-m", "data_prep.people", "--layout", layout, "--out", raw / stage,
                "--identities", identities, "--seed", 100 * seed + number)
        if epochs:
            prepare(layout, raw / stage, folder / "data" / stage, epochs)
    (raw / "large").mkdir(exist_ok=True)
    for name in ("market1501", "cuhk03"):
        if not (raw / "large" / name).exists():
            (raw / "large" / name).symlink_to(raw / name)
    prepare("large", raw / "large", folder / "data" / "large", LARGE_EPOCHS)


def prepare(dataset: str, raw: Path, out: Path, epochs: int) -> None:
    run(PYTHON, "-m", "data_prep", dataset, "--raw", raw, "--out", out, "--split", "0", "--epochs", epochs)


def train(folder: Path, chain: str, objective: str, seed: int) -> dict[str, Any]:
    """Train the way (chain, objective) of one seed; returns VIPeR's result."""
    runs = folder / "runs" / f"{chain}-{objective}"
    shared = folder / "runs" / "paper-vi" / "pretraining"    # the same run in every way that has it
    if chain != "scratch" and shared.exists() and not (runs / "pretraining").exists():
        shutil.copytree(shared, runs / "pretraining")
    run(TRAIN, "viper", "--data", folder / "data", "--out", runs, "--base", "tiny", "--objective", objective,
        "--chain", chain, "--cpu", "--set", f"seed={seed}", "test_every=0")
    return json.loads((runs / "viper/split00/result.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="what is there already is not done again")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    out, shares = arguments.out.resolve(), {way: [] for way in WAYS}
    for seed in range(arguments.seeds):
        folder = out / f"seed{seed}"
        data(folder, seed)
        for way in WAYS:
            cmc = train(folder, *way, seed)["after"]["cmc"]
            shares[way].append([100 * cmc[k] for k in ("1", "5", "10")])
            print(f"seed {seed}  {way[0]:8}{way[1]:3}"
                  + "".join(f"{share:8.1f}" for share in shares[way][-1]), flush=True)
    print(f"\nmean ± standard deviation over {arguments.seeds} seeds, "
          "CMC in % of generated people (chance 1, 5, 10)")
    for way, values in shares.items():
        mean = np.mean(values, axis=0)
        deviation = np.std(values, axis=0, ddof=1) if arguments.seeds > 1 else np.zeros(3)
        print(f"{way[0]:8}{way[1]:3}" + "".join(f"{m:8.1f} ± {d:4.1f}" for m, d in zip(mean, deviation)))
    print("\ndifference in rank-1, the same seeds: mean ± standard error")
    for better, worse in ((("paper", "vi"), ("direct", "vi")), (("direct", "vi"), ("scratch", "vi")),
                          (("direct", "vi"), ("direct", "v")), (("direct", "vi"), ("direct", "i"))):
        gain = np.array(shares[better])[:, 0] - np.array(shares[worse])[:, 0]
        error = gain.std(ddof=1) / len(gain) ** .5 if len(gain) > 1 else 0
        print(f"{' '.join(better):12} over {' '.join(worse):12}{gain.mean():8.1f} ± {error:.1f}")


if __name__ == "__main__":
    main()
