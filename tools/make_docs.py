"""Write what documents repeat of the code: the table of settings and the picture of the rooms."""

import argparse
import sys
from pathlib import Path
from types import UnionType

from reid.common.errors import InputError, command_line
from reid.engine.settings import ABOUT, Settings, allowed, as_text, kinds
from tools import picture

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURE = ROOT / "docs/training.md", ROOT / "docs/architecture.svg"
BEGIN, END = "<!-- settings: written by tools/make_docs.py -->\n", "<!-- settings: end -->\n"


@command_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    check = parser.parse_args().check
    stale = {path: text for path, text in files().items() if not path.is_file() or path.read_text() != text}
    for path, text in stale.items():
        print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text)
    return 1 if check and stale else 0


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
        bounds += ", none" if isinstance(kind, UnionType) else ""
        lines.append(f"| `{key}` | {as_text(default)} | {bounds} | {about.unit} | {about.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
