"""What documents repeat of the code is up to date, and the picture shows the imports that there are."""

import re
from pathlib import Path

import pytest

from reid.common.errors import InputError
from reid.engine.settings import Settings
from tools import make_docs, picture

ROOT = Path(__file__).resolve().parents[1]


def test_documents_are_what_the_code_says():
    for path, text in make_docs.files().items():
        assert path.read_text() == text, f"{path} is stale: run .venv/bin/python tools/make_docs.py"


def test_the_table_has_every_setting_once():
    rows = re.findall(r"^\| `(\w+)` (?:\| [^|]*){4}\|$", make_docs.settings_table(), re.MULTILINE)
    assert rows == list(Settings.__dataclass_fields__)


def test_a_page_without_its_marks_is_refused(monkeypatch, tmp_path):
    page = tmp_path / "training.md"
    page.write_text("## Settings\n")
    monkeypatch.setattr(make_docs, "PAGE", page)
    with pytest.raises(InputError, match="training.md: the lines <!-- settings"):
        make_docs.files()


def test_arrows_leave_out_what_follows_and_nothing_else(monkeypatch):
    imports = {"a": {"b", "c"}, "b": {"c", "d"}, "c": set(), "d": set()}
    monkeypatch.setattr(picture, "imports", lambda: imports)
    assert picture.arrows() == [("a", "b"), ("b", "c"), ("b", "d")]
    assert [picture.level(room) for room in "abcd"] == [2, 1, 0, 0]


def test_imports_in_a_circle_are_refused(monkeypatch):
    monkeypatch.setattr(picture, "imports", lambda: {"a": {"b"}, "b": {"a"}})
    with pytest.raises(InputError, match="a → b → a"):
        picture.level("a")


def test_every_room_is_drawn_and_a_step_without_its_module_is_refused(monkeypatch):
    folders = [path.parent.relative_to(ROOT) for path in (ROOT / "python/reid").glob("*/__init__.py")]
    drawn = set(re.findall(r'class="name" [^>]*>([\w/]+)<', picture.svg()))
    assert {*map(str, folders), "tools", "weights", "data_prep"} <= drawn
    monkeypatch.setattr(picture, "WAY", (("features", "", "reid.features.gone"),))
    with pytest.raises(InputError, match="reid.features.gone, which is not there"):
        picture.svg()
