"""The staged training run straight, and run with SIGKILLs at random moments: do both end in the same bytes?

    .venv/bin/python benchmarks/kills/run.py [--kills 20] [--seed 0] [--keep DIR]

README.md beside this file says how the moments are drawn and what is compared. Exit status 1 where anything
differs.
"""
import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.people.write import write
from data_prep.prepare import prepare
from reid.common.errors import Parser, command_line
from reid.common.rng import generator
from reid.engine.tables import read

ROOT = Path(__file__).resolve().parents[2]
STAGES = "pretraining", "large", "cuhk01", "viper"
ITERATIONS, EVERY = 60, 6  # of a stage; between two of its snapshots
SETTINGS = ["batch=8", "epochs=5", f"max_iter={ITERATIONS}", f"snapshot_every={EVERY}", "test_every=20",
            "display=10", "workers=2"]
# in the order in which a stage goes through them
PHASES = "starting", "training", "writing a snapshot", "ranking"
VICTIMS = "all its processes", "the main process", "a worker"
TIMES = {"seconds", "pairs_per_second", "checksum", "finished"}  # of result.json: no two runs have the same


@dataclass(frozen=True)
class Kill:
    """A moment, and which processes die.

    iteration: the first at which a kill in training or in a snapshot may fall.
    delay: seconds after the phase was seen, or after the launch where it is "starting".
    """
    stage: str
    phase: str
    iteration: int
    delay: float
    victim: str


@command_line
def main() -> int:
    options = parse_options()
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        began = time.monotonic()
        data = prepare_data(folder / "raw", folder / "data")
        straight, killed = folder / "straight", folder / "killed"
        say(began, f"data are there; load of the machine {os.getloadavg()[0]:.1f}")
        if launch(data, straight, folder / "straight.log").wait():
            sys.exit(f"the straight run failed: see {folder / 'straight.log'}, with --keep DIR")
        say(began, f"straight run: {sum(1 for _ in outcome(straight))} values")
        fallen = [fall(kill, data, killed, folder / "killed.log", began)
                  for kill in draw(options.kills, options.seed)]
        if launch(data, killed, folder / "killed.log").wait():
            sys.exit(f"the killed run does not end: see {folder / 'killed.log'}, with --keep DIR")
        say(began, f"killed run: {sum(fallen)} of {len(fallen)} kills met a process of it")
        wrong = differing(dict(outcome(straight)), dict(outcome(killed)))
    print(f"load of the machine at the end {os.getloadavg()[0]:.1f}")
    print("\n".join(f"differs: {name}" for name in wrong) or "no difference: both ended in the same bytes")
    return 1 if wrong or not all(fallen) else 0


def parse_options() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for data and runs, which stay")
    return parser.parse_args()


def prepare_data(raw: Path, data: Path) -> Path:
    """Prepared generated people for every stage of the chain, in folders named by stage."""
    for number, (path, layout, identities) in enumerate((
            ("pretraining", "folder", 16), ("large/market1501", "market1501", 8),
            ("large/cuhk03", "cuhk03", 18),
            ("cuhk01", "cuhk01", 16), ("viper", "viper", 24))):
        write(raw / path, layout, identities, number)
    for stage in STAGES:
        prepare("folder" if stage == "pretraining" else stage, raw / stage, data / stage,
                splits=[0], epochs=5)
    return data


def draw(kills: int, seed: int) -> list[Kill]:
    """So many Kills in the order in which a chain that resumes can meet them."""
    random = generator(seed, "kills")
    drawn = []
    for number in range(kills):
        phase = PHASES[number % len(PHASES)]
        delay = random.uniform(0, {"starting": 3, "training": .05, "writing a snapshot": .02,
                                   "ranking": .03}[phase])
        victims = VICTIMS if phase == "training" else VICTIMS[:2]  # workers are there in training alone
        drawn.append(Kill(str(random.choice(STAGES)), phase,
                          int(random.integers(1, ITERATIONS - EVERY)), delay,
                          victims[number // len(PHASES) % len(victims)]))
    return sorted(drawn, key=lambda kill: (STAGES.index(kill.stage), place(kill)))


def place(kill: Kill) -> int:
    """Where in its stage a Kill comes."""
    return {"starting": 0, "ranking": ITERATIONS}.get(kill.phase, kill.iteration)


def launch(data: Path, out: Path, log: Path) -> subprocess.Popen:
    """The whole chain as a user starts it, in a process group of its own."""
    with open(log, "a") as file:
        return subprocess.Popen(
            [ROOT / "tools/train_stage.sh", STAGES[-1], "--data", data, "--out", out, "--base", "tiny",
             "--cpu", "--set", *SETTINGS], stdout=file, stderr=file, start_new_session=True)


def fall(kill: Kill, data: Path, out: Path, log: Path, began: float) -> bool:
    """Start the chain, wait for the moment, kill; whether there was something to kill. Says where it fell."""
    launched, process = time.time(), launch(data, out, log)
    while process.poll() is None and not reached(kill, out, launched):
        time.sleep(.0005)
    time.sleep(kill.delay)
    stage, phase, iteration = where(out, launched)
    alive = process.poll() is None
    slay(process, kill.victim)
    process.wait()
    say(began, f"{kill.victim} killed in {stage}, {phase}, after iteration {iteration} "
               f"(drawn: {kill.stage}, {kill.phase})" if alive else f"nothing to kill ({kill})")
    return alive


def slay(process: subprocess.Popen, victim: str) -> None:
    """SIGKILL a process, one of its children, or its whole group, which then is gone when this returns."""
    workers = children(process.pid)
    if victim == "a worker" and workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(workers[0], signal.SIGKILL)
    elif victim == "all its processes":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def reached(kill: Kill, out: Path, launched: float) -> bool:
    """Whether the chain is where the kill is to fall, or past it."""
    stage, phase, iteration = where(out, launched)
    if stage != kill.stage:
        return stage is None or STAGES.index(stage) > STAGES.index(kill.stage)
    if kill.phase == "starting":
        return True
    if kill.phase == "ranking":
        return phase == "ranking"
    return phase == "ranking" or iteration >= kill.iteration and phase == kill.phase


def where(out: Path, launched: float) -> tuple[str | None, str | None, int | None]:
    """The stage that is being trained, its phase, its last iteration; (None, None, None) after the last."""
    for stage in STAGES:
        run = out / stage / "split00"
        if (run / "result.json").exists():
            continue
        iterations = read(run / "losses.csv").get("iteration", [])
        last = int(iterations[-1]) if iterations else 0
        return stage, phase_of(run, last, launched), last
    return None, None, None


def phase_of(run: Path, last: int, launched: float) -> str:
    """One of PHASES, from the files that the process launched at a time has written."""
    with contextlib.suppress(FileNotFoundError):  # files come and go while they are looked at
        new = {path.name for path in (run / "snapshots").glob("*") if path.stat().st_mtime >= launched}
        if any(name.startswith(".") for name in new):
            return "writing a snapshot"
        last = run / "snapshots" / f"{ITERATIONS:06d}"
        if last.exists() and (run / "log.txt").stat().st_mtime >= launched:
            return "ranking"
        if last and (run / "losses.csv").stat().st_mtime >= launched:
            return "training"
    return "starting"


def outcome(out: Path) -> Iterator[tuple[str, Any]]:
    """Everything that a chain came to: names, and bytes or values that must be equal."""
    for stage in STAGES:
        run = out / stage / "split00"
        for file in sorted([*run.rglob("*.npz"), *run.glob("*.csv"),
                            *(run / "snapshots").rglob("weights.caffemodel"),
                            *(run / "snapshots").rglob("state.solverstate")]):
            yield f"{stage}/{file.relative_to(run)}", hashlib.sha256(file.read_bytes()).hexdigest()
        for key, value in json.loads((run / "result.json").read_text()).items():
            if key not in TIMES:
                yield f"{stage}/result.json: {key}", value


def differing(straight: dict[str, Any], killed: dict[str, Any]) -> list[str]:
    return sorted(name for name in straight.keys() | killed.keys() if straight.get(name) != killed.get(name))


def say(began: float, words: str) -> None:
    print(f"{time.monotonic() - began:4.0f} s  {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
