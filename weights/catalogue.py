"""The catalogue of ImageNet weights, catalogue.yaml, and where their caffemodels lie."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from reid.common.errors import InputError

FILES = Path(__file__).with_name("files")


@dataclass(frozen=True)
class Entry:
    """One published file of weights; catalogue.yaml says what each field means."""
    name: str
    base: str
    file: str
    size: int
    sha256: str
    origin: str
    mean: list[float]
    input: str
    conversion: str
    licence: str
    npm: str = ""
    url: str = ""
    how_to_get: str = ""
    caffemodel: str = ""


def entries() -> dict[str, Entry]:
    """All entries, {name: Entry}."""
    content = yaml.safe_load(Path(__file__).with_name("catalogue.yaml").read_text())
    return {name: Entry(name, **fields) for name, fields in content.items()}


def entry(name: str) -> Entry:
    """The Entry called `name`; InputError where there is none."""
    known = entries()
    if name not in known:
        raise InputError(f"weights {name!r}: not in the catalogue; it has {', '.join(known)}")
    return known[name]


def caffemodel(name: str) -> Path:
    """The path of the caffemodel of the entry called `name`, whether or not it is there."""
    return FILES / f"{entry(name).name}.caffemodel"


def path(name: str) -> Path:
    """The caffemodel of the entry called `name`; InputError, saying how to get it, where it is not there."""
    file = caffemodel(name)
    if not file.is_file():
        raise InputError(f"{file}: not there yet; get it with: .venv/bin/python -m weights.fetch {name}")
    return file
