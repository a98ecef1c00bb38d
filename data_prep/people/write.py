"""Writing generated people as a raw dataset."""

import json
from pathlib import Path

from data_prep.people.layouts import cuhk01, cuhk03, folder, market1501, viper
from data_prep.readers.generated import MARK, MOST
from reid.common.errors import InputError
from reid.common.files import whole_directory
from reid.common.lock import in_use
from reid.common.rng import generator
from reid.formats import json_record

LAYOUTS = {"viper": viper.write, "cuhk01": cuhk01.write, "cuhk03": cuhk03.write_mat,
           "cuhk03-long": cuhk03.write_long, "cuhk03-short": cuhk03.write_short,
           "market1501": market1501.write, "folder": folder.write}
"""The function that writes each layout: (folder, the people's seeds, how many of them each split tests, None
for the real dataset's proportion) → further entries of GENERATED.json.
`cuhk03` is the .mat, `cuhk03-long` and `-short` are its extracted forms, 1_001_1_01.png and 0000_00.jpg.
"""


def write(out: Path, layout: str, identities: int, seed: int, tested: int | None = None,
          wait: bool = False) -> None:
    """Write generated people into the new folder `out`, laid out as the dataset `layout`.

    A file GENERATED.json in it says so, and every later result carries the mark. `tested`: how many of the
    people each split tests, None for the real dataset's proportion. Raises InputError for an unknown layout,
    fewer than two identities, more than half of them tested, a folder that has files in it and one into which
    another process draws. `wait`: until that one ends; where the same people are there, nothing is done.
    """
    out = Path(out)
    if layout not in LAYOUTS:
        raise InputError(f"layout {layout!r} is not known; choose one of {', '.join(LAYOUTS)}")
    if not 2 <= identities <= MOST or seed < 0:
        raise InputError(f"identities {identities}, seed {seed}: give at least two identities, at most "
                         f"{MOST:,}, and a seed ≥ 0")
    if tested is not None and not 1 <= tested <= identities // 2:
        raise InputError(f"tested {tested}: give 1 to {identities // 2}, half of the {identities} identities")
    mark = {"generator": "data_prep.people", "layout": layout, "identities": identities, "seed": seed}
    mark |= {} if tested is None else {"tested": tested}
    people = generator(seed, "people").integers(2 ** 62, size=identities).tolist()
    if _drawn(out, mark, wait):
        return
    with in_use(out, wait, beside=True):
        if _drawn(out, mark, wait):    # another process was faster
            return
        with whole_directory(out) as partial:
            more = LAYOUTS[layout](partial, people, tested)
            (partial / MARK).write_text(json.dumps(mark | more) + "\n")


def _drawn(out: Path, mark: dict, wait: bool) -> bool:
    """Whether people of this mark are there, which who waits may find; InputError where anything else is."""
    if not out.exists() or out.is_dir() and not any(out.iterdir()):
        return False
    file = out / MARK
    if wait and file.is_file():
        there = json_record.parse(file, "generate the people again")
        if isinstance(there, dict) and {"tested": None, **mark}.items() <= {"tested": None, **there}.items():
            return True
    raise InputError(f"{out}: not an empty folder; choose another --out")
