"""The result of a finished run as other parts read it: with its settings, and those before it, checked."""

from pathlib import Path

from reid.engine.settings import check_plain
from reid.formats import result as result_file
from reid.formats.result import REMEDY, Result


def read(folder: Path) -> Result:
    """The Result of the run in a folder; InputError where there is none or it is damaged."""
    result, file = result_file.read(folder), Path(folder) / result_file.NAME
    check_plain(result.settings, "settings", file, REMEDY)
    for number, step in enumerate(result.lineage or ()):
        if "stage" in step:
            check_plain(step["settings"], f"lineage.{number}.settings", file, REMEDY)
    return result
