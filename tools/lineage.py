"""Print where a run's weights come from, stage by stage back to ImageNet, and what is gone or changed."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
from collections.abc import Iterator
from pathlib import Path

from reid.common.errors import Parser, command_line
from reid.engine.settings import as_plain, defaults, of_run
from reid.nets.backbones.registry import BACKBONES
from reid.provenance.lineage import Entry, walk


@command_line
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, OUT/STAGE/splitKK")
    found = walk(parser.parse_args().run.resolve())
    for number, (entry, state) in enumerate(found):
        print(("from " if number else "") + (stage(entry) if "stage" in entry else first(entry)))
        for line in details(entry, state):
            print(f"    {line}")
    changed = [what for _, state in found for what in state.values() if what.startswith("changed")]
    if changed:
        print(f"{len(changed)} of these files have changed since", file=sys.stderr)
    return 1 if changed else 0


def stage(entry: Entry) -> str:
    """A run in a line."""
    heads = {"vi": "verification and identification", "v": "verification", "i": "identification"}
    head = ", verification head kept" if entry["verification_head"] == "kept" else ""
    mark = ", generated data" if entry["generated"] else ""
    return (f"{entry['stage']} {entry['split']}: {entry['base']}, {heads[entry['objective']]}{head}, "
            f"{entry['iterations']} iterations, seed {entry['seed']}{mark}")


def first(entry: Entry) -> str:
    """The first weights in a line."""
    if not entry["weights"]:
        return f"random weights, seed {entry['seed']}"
    about = ", ".join(f"{key} {entry[key]}" for key in ("licence", "mean") if entry[key])
    origin = entry["origin"] or entry["weights"]["file"]
    return f"{entry['name'] or 'weights of unknown origin'}: {origin}; {about}".rstrip("; ")


def details(entry: Entry, state: dict[str, str]) -> Iterator[str]:
    """What belongs to an entry, in lines."""
    if entry["weights"]:
        yield f"weights   sha256 {entry['weights']['sha256']}, {state['weights']}"
    if "stage" not in entry:
        return
    yield f"data      manifest sha256 {entry['manifest_sha256']}, {state['data']}"
    if entry["base"] in BACKBONES:
        settings = of_run(entry["base"], entry["settings"])
        usual = {**as_plain(defaults(entry["base"])), "pass_pairs": settings["batch"]}
        other = {key: value for key, value in settings.items() if usual.get(key) != value}
        yield "settings  " + (" ".join(f"{key}={value}" for key, value in other.items()) or "all defaults")
    versions = entry["versions"]
    yield f"made by   Caffe {versions['caffe']}, this project's code sha256 {versions['code_sha256']}"


if __name__ == "__main__":
    sys.exit(main())
