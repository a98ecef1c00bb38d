"""Write a committed split file again: `python -m data_prep.splits viper`."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import json
import sys

from data_prep.readers.registry import DATASETS
from data_prep.splits.draw import draw
from data_prep.splits.load import COMMITTED, RULES, SEED
from reid.common.errors import Parser, command_line
from reid.common.files import write_whole
from reid.formats.json_record import signed

IDENTITIES = {rule.name: dataset.identities for dataset in DATASETS.values()
              for rule in dataset.rules.values()}


def text(name: str) -> str:
    """Return the text of a committed file: a dataset's published identities, split by its rule."""
    content = {"dataset": name.split("-")[0], "seed": SEED, "made_by": f"python -m data_prep.splits {name}",
               "splits": draw(IDENTITIES[name], SEED, RULES[name])}
    return json.dumps(signed(content), separators=(",", ":")).replace('{"train"', '\n{"train"') + "\n"


@command_line
def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m data_prep.splits", description=__doc__)
    parser.add_argument("name", choices=COMMITTED)
    name = parser.parse_args(arguments).name
    write_whole(COMMITTED[name], text(name))
    print(f"wrote {COMMITTED[name]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
