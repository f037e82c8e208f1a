"""The table of docs/trust.md counts the tests that there are."""

from __future__ import annotations

import re

from tests.trust import ATTACKS, DOCUMENT, END, ROOT, START, compares, copies, silent, table


def test_every_attack_names_tests_that_exist():
    assert all((ROOT / file).is_file() for files in ATTACKS.values() for file in files)


def test_the_table_is_that_of_the_tests():
    written = DOCUMENT.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    assert written == table(), "run `python tests/trust.py`"


def test_every_file_of_tests_that_damages_files_is_in_the_table():
    """How many, each test of them is held to when it runs: tests/conftest.py."""
    named = {file for files in ATTACKS.values() for file in files}
    for path in (ROOT / "tests").rglob("test_*.py"):
        if re.search(r"^\s*(from|import) tests\.(mutations|fuzzed)\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert path.relative_to(ROOT).as_posix() in named, f"name {path} in ATTACKS of tests/trust.py"


def test_copies_are_counted_by_the_names_of_tests():
    names = {
        "a.py::b": 0,
        "a.py::b[500-read]": 500,
        "a.py::b[zip-20000-same]": 20_000,
        "a.py::b[500]": 0,
        "b[read-500]": 0,
    }
    assert {name: copies(name) for name in names} == names
    assert [compares(name) for name in names] == [False, False, True, False, False]


def test_what_no_test_compares_cannot_be_known():
    assert silent(["b[500-read]", "b"]) == "cannot be known"
    assert silent(["b[500-same]", "b[20000-same]", "b"]) == "0"
    assert silent(["b"]) == "–"
    assert silent(["b[500-read]", "b[x-500-same]", "b[y-500-same]"]) == "0 of 1,000, else cannot be known"
