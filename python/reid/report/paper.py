"""The paper's tables as data, experiments/paper.yaml: read and checked in one place."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from reid.common.errors import InputError
from reid.formats.yaml_file import read
from reid.metrics.protocol import PROTOCOLS


def load(path: Path) -> dict:
    """The contents of a file of tables; InputError names the file, the place, and what is allowed.

    {"references": int or absent, "datasets": {name: {"queries": int, "splits": int or None}}, and tables by
    name}. A table is a mapping with "rows": {"title", "protocol", "datasets": [name] (absent: every column is
    named after its own), "columns": {column: [rank k, "rank-1" or "mAP"]}, "rows": [{"method", column:
    [percent] or None, and for a net of this project "base", "objective", "pretrained"}]}.
    """
    content = read(path)
    if not isinstance(content, dict) or not tables(content):
        raise InputError(f"{path}: holds no table; a table is a mapping with title, protocol, columns, rows")
    datasets = content.get("datasets", {})
    if not isinstance(datasets, dict):
        raise InputError(f"{path}: datasets is {datasets!r}; it must be a mapping of names")
    for name, entry in datasets.items():
        whole = isinstance(entry, dict) and set(entry) == {"queries", "splits"}
        if not whole or not isinstance(entry["queries"], int):
            raise InputError(f"{path}: dataset {name} is {entry}; give it queries, a number, and splits, a "
                             "number or null")
    for name, table in tables(content).items():
        _check_table(f"{path}: {name}", table, datasets)
    return content


def tables(content: dict) -> dict:
    """The tables of a loaded file, by name."""
    return {name: part for name, part in content.items() if isinstance(part, dict) and "rows" in part}


def datasets_of(table: dict, column: str) -> list[str]:
    """The datasets that a column may be of, the one that the paper says first."""
    return table.get("datasets") or [column]


def _check_table(where: str, table: dict[str, Any], datasets: Collection[str]) -> None:
    """InputError where a table lacks something or a row's figures do not fit its columns."""
    for key, kind in (("title", str), ("columns", dict), ("rows", list)):
        if not isinstance(table.get(key), kind):
            raise InputError(f"{where}: {key} is {table.get(key)!r}; it must be a {kind.__name__}")
    if table.get("protocol") not in PROTOCOLS:
        raise InputError(f"{where}: protocol is {table.get('protocol')!r}; it is one of "
                         f"{', '.join(PROTOCOLS)}")
    for column, measures in table["columns"].items():
        unknown = [name for name in datasets_of(table, column) if name not in datasets]
        if unknown:
            raise InputError(f"{where}: dataset {unknown[0]!r} is not among datasets: "
                             f"{', '.join(datasets) or 'none'}")
        for measure in measures:
            if not (measure in ("rank-1", "mAP") or isinstance(measure, int) and measure > 0):
                raise InputError(f"{where}, column {column}: {measure!r} is no measure; it is a rank, rank-1 "
                                 "or mAP")
        for row in table["rows"]:
            _check_row(f"{where}, column {column}", row, row.get(column), len(measures))


def _check_row(where: str, row: dict[str, Any], figures: Any, count: int) -> None:
    if not isinstance(row.get("method"), str):
        raise InputError(f"{where}: a row has no method: {row}")
    if figures is None:
        return
    if not isinstance(figures, list) or len(figures) != count:
        raise InputError(f"{where}: {row['method']} has {figures}; it must be {count} numbers, or null")
    for value in figures:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
            raise InputError(f"{where}: {row['method']} has {value!r}; a figure is a percentage, 0 to 100")
