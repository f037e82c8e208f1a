"""The table of docs/trust.md counts the tests that there are."""

from __future__ import annotations

import pytest

from tests.trust import ATTACKS, DOCUMENT, END, ROOT, START, copies, table


def test_every_attack_names_tests_that_exist():
    assert all((ROOT / file).is_file() for files in ATTACKS.values() for file in files)


@pytest.mark.slow
@pytest.mark.ci
def test_the_table_is_that_of_the_tests():
    written = DOCUMENT.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    assert written == table(), "run `python tests/trust.py`"


def test_copies_are_counted_by_the_names_of_tests():
    names = {
        "a.py::test_b": 0,
        "a.py::test_b[500]": 500,
        "a.py::test_b[zip-20000]": 20_000,
        "a.py::test_b[x-many]": 20_000,
    }
    assert {name: copies(name) for name in names} == names
    assert copies("a.py::test_b[3-some-x]") == 500 and copies("a.py::test_b[64]") == 0
