"""Committed files that are written from the code: write those that are stale, or say which are."""

from collections.abc import Callable
from pathlib import Path

from reid.common.errors import Parser

ROOT = Path(__file__).resolve().parents[1]


def write_stale(description: str | None, files: Callable[[], dict[Path, str]]) -> int:
    """The command line of a generator; 1 where `--check` finds a stale file. files: what is to be there."""
    parser = Parser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    check = parser.parse_args().check
    stale = {path: text for path, text in files().items() if not path.is_file() or path.read_text() != text}
    for path, text in stale.items():
        print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 1 if check and stale else 0
