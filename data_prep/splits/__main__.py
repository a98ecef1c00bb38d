"""Write a committed split file again: `python -m data_prep.splits viper`."""

import argparse
import json
import sys

from data_prep.errors import command_line
from data_prep.files import write_whole
from data_prep.readers.viper import IDENTITIES
from data_prep.splits.draw import draw
from data_prep.splits.load import COMMITTED

SEED = 2017


def viper_text() -> str:
    """Return the text of viper.json: ten random halves of VIPeR's 632 identities."""
    content = {"dataset": "viper", "seed": SEED, "made_by": "python -m data_prep.splits viper",
               "splits": draw(IDENTITIES, SEED)}
    return json.dumps(content, separators=(",", ":")).replace('{"train"', '\n{"train"') + "\n"


@command_line
def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m data_prep.splits", description=__doc__)
    parser.add_argument("dataset", choices=COMMITTED)
    dataset = parser.parse_args(arguments).dataset
    write_whole(COMMITTED[dataset], viper_text())
    print(f"wrote {COMMITTED[dataset]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
