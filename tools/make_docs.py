"""Write what documents repeat of the code: the table of settings and the picture of the rooms."""

import sys
from pathlib import Path
from types import UnionType

from reid.common.errors import InputError, command_line
from reid.engine.settings import ABOUT, AUTO, Settings, allowed, as_text, kinds
from tools import picture
from tools.generated import ROOT, write_stale

PAGE, PICTURE = ROOT / "docs/training.md", ROOT / "docs/architecture.svg"
BEGIN, END = "<!-- settings: written by tools/make_docs.py -->\n", "<!-- settings: end -->\n"


@command_line
def main() -> int:
    return write_stale(__doc__, files)


def files() -> dict[Path, str]:
    """What is to be committed: {path: text}."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{PAGE}: the lines {BEGIN.strip()} and {END.strip()} are not in it; put them back")
    return {PAGE: before + BEGIN + settings_table() + END + after, PICTURE: picture.svg()}


def settings_table() -> str:
    """The settings as a Markdown table, in the order of the dataclass."""
    lines = ["| key | default | allowed | unit | meaning |", "| --- | --- | --- | --- | --- |"]
    for key, kind in kinds().items():
        about, default = ABOUT[key], getattr(Settings, key, "backbone's")
        bounds = "true, false" if kind is bool else ", ".join(about.only) or allowed(about, kind)
        bounds += f", {AUTO if kind == int | str else 'none'}" if isinstance(kind, UnionType) else ""
        lines.append(f"| `{key}` | {as_text(default)} | {bounds} | {about.unit} | {about.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
