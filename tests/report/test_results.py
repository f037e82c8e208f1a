"""Result files of findings: what they may hold, and that a damaged one is read or refused in one line."""

from __future__ import annotations

import json

import pytest

from hkd.report.collect import ReportError
from hkd.report.orderings import Summary
from hkd.report.results import Quantity, read_results, results
from tests.fuzzed import COUNTS, refused

ABOUT = {"command": "make x", "commit": "abc", "source": "kept"}
GOOD = {
    "about": {**ABOUT, "seeds": 3},
    "rows": {
        "a": {"title": "A", "fdn": {"values": [1.0, 2.0, 3.0]}, "other": 7},
        "b": {"fdn": {"mean": 4.0, "sd": 0.5, "n": 3}, "word": "matters", "unknown": {"mean": 4, "sd": 1}},
    },
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(GOOD))
    return path


def test_quantities_are_single_values_or_what_is_kept_of_them(file):
    found = read_results(file)
    assert found.value("rows", "a", "fdn") == Quantity(2.0, 1.0, 3, (1.0, 2.0, 3.0))
    assert found.value("rows", "a", "other") == Quantity(7.0)
    assert found.value("rows", "b", "fdn").summary == Summary(4.0, 0.5, 3)  # type: ignore[union-attr]
    assert found.value("rows", "b", "unknown").summary is None  # type: ignore[union-attr]
    assert found.value("rows", "b", "word") == "matters" and found.value("rows", "c", "fdn") is None
    assert (found.title("rows", "a"), found.title("rows", "b")) == ("A", "b")
    with pytest.raises(ReportError, match="no table 'lines', which the text names; it has rows"):
        found.rows("lines")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([], "the file is no mapping"),
        ({"rows": {}}, "about is no mapping"),
        ({"about": {**ABOUT, "commit": 7}}, "about.commit = 7; state it as text"),
        ({"about": ABOUT, "rows": {"a": 3}}, "rows.a is no mapping"),
        *(
            ({"about": ABOUT, "rows": {"a": {"x": cell}}}, "rows.a.x is neither a number")
            for cell in (True, None, 1e13, {"values": []}, {"values": ["1"]}, {"mean": 1, "sd": -1, "n": 3})
        ),
        ({"about": ABOUT, "rows": {"a": {"x": {"mean": 1, "sd": 1, "n": 1}}}}, "two seeds or more"),
    ],
)
def test_another_form_is_refused_with_file_and_key(content, expected):
    with pytest.raises(ReportError, match=f"^x.json: {expected}" if "two" not in expected else expected):
        results(content, "x.json")


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ReportError, match=r"y\.json: missing; take the section that cites it out"):
        read_results(tmp_path / "y.json")


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_result_file_is_read_or_refused_in_one_line(file, count):
    assert 0 < refused(file, lambda: read_results(file), count, ReportError) < count
