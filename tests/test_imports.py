"""Imports run one way: tools → weights, data_prep → python/reid. In it the engine knows no stages."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What may not be imported, by folder. Below a folder of the library all that stands above it.
FORBIDDEN = {
    "python/reid": ("data_prep", "weights", "tools"),
    "data_prep": ("weights", "tools"),
    "weights": ("data_prep", "tools"),
    "python/reid/common": ("reid.formats", "reid.nets", "reid.layers", "reid.engine", "reid.stages",
                           "reid.provenance", "reid.features", "reid.metrics", "reid.report",
                           "reid.experiments"),
    "python/reid/formats": ("reid.nets", "reid.layers", "reid.engine", "reid.stages", "reid.provenance",
                            "reid.features", "reid.report", "reid.experiments"),
    "python/reid/engine": ("reid.stages", "reid.provenance", "reid.report", "reid.experiments"),
    "python/reid/provenance": ("reid.stages", "reid.report", "reid.experiments"),
    "python/reid/stages": ("reid.report", "reid.experiments"),
    "python/reid/report": ("reid.experiments",),
}


def imported(file):
    """The dotted names that a file imports, wherever in it; `from a import b` is a.b, where a is enough."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative import; write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_run_one_way(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    wrong = [f"{file.relative_to(ROOT)} imports {name}" for file in files for name in imported(file)
             for other in FORBIDDEN[folder] if name == other or name.startswith(other + ".")]
    assert not wrong, "\n".join(wrong)
