"""A campaign of faults against every command, and the table of what came of it.

    .venv/bin/python tests/faults/run.py [--kills 300] [--full-disks 100] [--files 2000] … [--seed 0]

docs/reliability.md says what is done. Case N of a kind is the same for the same seed, however many there are.
Ctrl-C ends it with the table so far. Exit status 1 where anything was lost, changed silently, or ended in a
traceback, an abort or an orphan.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from faults import FAULTS, MOUNTING, WRONG, Damage, can_mount, damage
from forge import forged_record
from names import odd_identities
from surroundings import odd_surroundings, signalled, two_kinds_at_once
from world import COMMANDS, World
from yaml import safe_load

from reid.common.errors import command_line
from reid.common.rng import generator

FAULTS = {**FAULTS, "odd names of people": odd_identities, "forged records": forged_record,
          "signals": signalled, "two kinds at once": two_kinds_at_once,
          "odd surroundings": odd_surroundings}
DEFAULT = {"kills": 300, "full disks": 100, "read-only disks": 40, "file-size limits": 100,
           "damaged files": 2000, "two at once": 40, "clock set back": 40, "odd names": 100,
           "odd names of people": 10, "forged records": 500, "signals": 150, "two kinds at once": 40,
           "odd surroundings": 150}
OPTIONS = {"damaged files": "files", "two at once": "twice", "clock set back": "clocks", "odd names": "names",
           "file-size limits": "limits", "odd names of people": "people", "forged records": "forged",
           "two kinds at once": "kinds", "odd surroundings": "surroundings"}


@command_line
def main():
    options = parse()
    wanted = {kind: getattr(options, option(kind).replace("-", "_")) for kind in FAULTS}
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        began = time.monotonic()
        names = [name for name in COMMANDS if not (options.brief and "mat" in name)]
        world = World(Path(folder) / "world", names)
        print(f"{time.monotonic() - began:6.0f} s  the undisturbed world is there", flush=True)
        if options.case:
            kind, number = " ".join(options.case[:-1]), int(options.case[-1])
            case = FAULTS[kind](world, generator(options.seed, f"faults {kind}", number))
            print(case)
            return 1 if case.wrong else 0
        if not can_mount():
            print(f"{', '.join(MOUNTING)}: left out: mounting a small disk needs root and the right "
                  "to mount; file-size limits stand for full disks")
            wanted.update(dict.fromkeys(MOUNTING, 0))
        failed = replay(world) if options.brief else 0
        tables = {kind: Counter(cases=0) for kind, count in wanted.items() if count}
        try:
            for kind, counts in tables.items():
                campaign(world, kind, wanted[kind], options.seed, began, counts)
        except KeyboardInterrupt:
            print("interrupted; so far:")
    print(table(tables))
    return 1 if failed or any(sum(counts[wrong] for wrong in WRONG) for counts in tables.values()) else 0


def option(kind):
    """The name of the option that says how many of a kind."""
    return OPTIONS.get(kind, kind).replace(" ", "-")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind, count in DEFAULT.items():
        parser.add_argument(f"--{option(kind)}", type=int, default=count, metavar="N",
                            help=f"{kind} (default {count})")
    parser.add_argument("--brief", action="store_true",
                        help="first what once went wrong (corpus.yaml); no .mat, which takes long to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", nargs="+", metavar="KIND N", help="case N of a kind alone: kills 34")
    return parser.parse_args()


def replay(world):
    """Damage files as corpus.yaml says, each of which once found a fault; return how many still do."""
    corpus = safe_load(Path(__file__).with_name("corpus.yaml").read_text())
    cases = [damage(world, Damage(**one)) for one in corpus]
    for case in cases:
        if case.wrong:
            print(f"once mended, wrong again: {case}", flush=True)
    return sum(bool(case.wrong) for case in cases)


def campaign(world, kind, count, seed, began, counts):
    """Count in `counts` how that many cases of a kind end, and what is wrong, which is printed too."""
    told = time.monotonic()
    for number in range(count):
        case = FAULTS[kind](world, generator(seed, f"faults {kind}", number))
        counts["cases"] += 1
        counts[case.ended] += 1
        for wrong, what in case.wrong.items():
            counts[wrong] += 1
            print(f"{wrong} in {kind} {number}: {case.done}: {what}", flush=True)
        if time.monotonic() - told > 60 or number + 1 == count:
            told = time.monotonic()
            print(f"{told - began:6.0f} s  {kind}: {number + 1} of {count}", flush=True)


def table(tables):
    """The counts as a Markdown table."""
    heads = ["cases", "well", "refused", "killed", *WRONG]
    lines = [f"| fault | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    lines += [f"| {kind} | {' | '.join(str(counts[head]) for head in heads)} |"
              for kind, counts in tables.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
