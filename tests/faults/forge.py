"""Forged records: one value is another, and the record is signed anew, as by a hand or another program."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))    # for records.py, beside the tests

from faults import Case
from records import FORGED, forge, load, places, store
from world import COMMANDS, RUN, run

SNAPSHOT = "snapshots/{}/snapshot.json"
READ = [("train", f"{RUN}/result.json"), ("report", f"{RUN}/result.json"), ("lineage", f"{RUN}/result.json"),
        ("half", f"{RUN}/{SNAPSHOT.format('000003')}"), ("half", f"{RUN}/start.json"),
        ("half", f"{RUN}/settings.yaml"), ("check", "data/manifest.json"), ("prepare", "data/manifest.json"),
        ("lineage", "data/manifest.json"), ("report", "data/manifest.json"),
        ("check", "data/split00/train/data.mdb"), ("check", "data/split00/test/data.mdb"),
        ("train on", "init.caffemodel.json"), ("inspect", "init.caffemodel.json")]
"""Which command reads which record; "half": the resuming of a training that was killed."""


def forged_record(world, random):
    """A command reads a record whose checksum fits, and one value in it is of another shape, or another.

    It says so in a sentence, or takes it: another figure in a result cannot be told from the right one.
    """
    name, file = READ[random.integers(len(READ))]
    command = "train" if name == "half" else name
    with world.copy(*dict.fromkeys(("data", "runs", *COMMANDS[command].reads))) as folder:
        if name == "half":
            world.half(folder)
        content = load(folder / file)
        everywhere = list(places(content))
        place = everywhere[random.integers(len(everywhere))]
        value = FORGED[random.integers(len(FORGED))]
        case = Case(f"{name} where {file} has {value} at {'.'.join(map(str, place))}")
        if (other := forge(content, place, value)) is None:
            return case
        store(folder / file, other)
        case.judge(run(command, folder), (0, 1, 2))
    return case
