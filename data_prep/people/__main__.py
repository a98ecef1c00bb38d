"""Generate people: `python -m data_prep.people --layout viper --out DIR --identities N --seed S`."""

from reid.common import interrupt

if __name__ == "__main__":
    interrupt.end_at_once()

import sys
from pathlib import Path

from data_prep.people.write import LAYOUTS, write
from reid.common.errors import Parser, command_line


@command_line
def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m data_prep.people", description=__doc__)
    parser.add_argument("--layout", choices=LAYOUTS, default="viper")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--identities", type=int, default=200)
    parser.add_argument("--tested", type=int, metavar="N",
                        help="tested by each split, at most half (default: the real dataset's share)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wait", action="store_true",
                        help="where another process draws into --out, wait until it ends; if it has drawn "
                             "the same people, there is nothing to do")
    options = parser.parse_args(arguments)
    write(options.out, options.layout, options.identities, options.seed, options.tested, options.wait)
    print(f"generated data: {options.identities} people in the layout {options.layout}, seed "
          f"{options.seed}, in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
