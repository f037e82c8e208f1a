"""What was read of a text is kept for the next process, and never out of date, wrong or in the way."""

from __future__ import annotations

import json
import stat

import pytest

from hkd.plan import digests
from hkd.plan.digests import Found
from hkd.store import source


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The file of an empty package, and a function that reads texts as a fresh process would."""
    monkeypatch.setattr(source, "PACKAGE", tmp_path)
    asked: list[str] = []

    def find(text: str) -> Found:
        asked.append(text)
        return Found(f"digest of {text}", ["hkd.a"])

    def process(*texts: str) -> tuple[list[Found], list[str]]:
        digests._known.cache_clear()
        asked.clear()
        found = [digests.read(text, find) for text in texts]
        digests.keep()
        return found, list(asked)

    yield tmp_path / "__pycache__" / "code-digests.json", process
    digests._known.cache_clear()


def test_a_text_is_read_once_for_all_processes_and_a_change_of_it_anew(kept):
    _, process = kept
    first, asked = process("x", "y", "x")
    assert asked == ["x", "y"] and first[0] == first[2] == Found("digest of x", ["hkd.a"])
    again, asked = process("x", "y2")
    assert asked == ["y2"] and again[0] == first[0]


def test_another_way_of_reading_reads_anew(kept, monkeypatch):
    _, process = kept
    process("x")
    monkeypatch.setattr(digests, "_reader", lambda: b"another")
    assert process("x")[1] == ["x"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"a": 1}', '{"a": ["b"]}', '{"a": ["b", [1]]}', '{"a": [1, []]}', "[" * 5000, '{"a": null}'],
)
def test_a_damaged_file_is_as_none(kept, content):
    path, process = kept
    path.parent.mkdir()
    path.write_text(content)
    assert process("x")[1] == ["x"]
    assert process("x")[1] == [] and len(json.loads(path.read_text())) == 1


def test_too_many_entries_are_dropped(kept, monkeypatch):
    _, process = kept
    monkeypatch.setattr(digests, "MOST", 3)
    process("a", "b", "c", "d")
    assert process("a")[1] == ["a"]


def test_a_place_that_cannot_be_written_stops_nobody(kept):
    path, process = kept
    path.parent.write_text("a file where a folder should be")
    assert process("x")[0] == [Found("digest of x", ["hkd.a"])]
    assert stat.S_ISREG(path.parent.stat().st_mode)
