"""Tables of text: how wide they may be, and what a wide one becomes."""

from __future__ import annotations

import pytest

from hkd.report.markdown import WIDTH, fitted

LONG = 30


def parts(lines: list[str]) -> list[list[list[str]]]:
    """The tables of some lines, as rows of cells; the rule between head and body is left out."""
    tables = [part.splitlines() for part in "\n".join(lines).split("\n\n")]
    cells = [[[cell.strip() for cell in line.strip("|").split("|")] for line in table] for table in tables]
    return [[head, *body] for head, _, *body in cells]


def test_a_table_that_fits_is_one():
    lines = fitted(["Row", "A"], [["x", "1"], ["y", "2"]], left=1)
    assert lines == ["| Row |  A |", "| :-- | -: |", "| x   |  1 |", "| y   |  2 |"]


@pytest.mark.parametrize("columns", [3, 7, 20])
def test_a_wide_table_becomes_several_of_the_same_rows_with_every_column_once(columns):
    headers = ["Row", *(f"{k}".ljust(LONG, "h") for k in range(columns))]
    body = [[f"row {row}", *(f"{row}{k}" for k in range(columns))] for row in range(3)]
    lines = fitted(headers, body)
    assert max(map(len, lines)) <= WIDTH
    found = parts(lines)
    assert [head for part in found for head in part[0][1:]] == headers[1:]
    assert all([row[0] for row in part] == ["Row", "row 0", "row 1", "row 2"] for part in found)
    assert [cell for part in found for cell in part[2][1:]] == body[1][1:]


def test_a_table_is_as_wide_as_it_may_be_and_no_wider():
    for width, tables in ((WIDTH, 1), (WIDTH + 1, 2)):
        head = "h" * (width - len("| Row |  |"))
        lines = fitted(["Row", head[:50], head[53:]], [["x", "1", "2"]])
        assert len(parts(lines)) == tables and len(lines[0]) == (width if tables == 1 else len("| Row |  |") + 50)


def test_rows_are_told_apart_in_every_part():
    headers = ["Row", "NFE", *(f"{k}".ljust(LONG, "h") for k in range(6))]
    same = [["DDIM", nfe, *"abcdef"] for nfe in ("100", "10")]
    assert {tuple(part[0][:2]) for part in parts(fitted(headers, same))} == {("Row", "NFE")}
    other = [["DDIM", "10", *"abcdef"], ["EDM", "10", *"abcdef"]]
    assert sum("NFE" in part[0] for part in parts(fitted(headers, other))) == 1


def test_a_column_that_says_something_of_the_one_before_stays_beside_it_as_far_as_that_is_possible():
    headers = ["Row", *(name.ljust(LONG) for name in ("A", "B", "C", "of C"))]
    body = [["x", *"1234"]]
    assert [len(part[0]) for part in parts(fitted(headers, body))] == [4, 2]
    assert [part[0][-1] for part in parts(fitted(headers, body, beside=[4]))] == ["B", "of C"]
    lines = fitted(headers, body, beside=[2, 3, 4])
    assert max(map(len, lines)) <= WIDTH and sum(len(part[0]) - 1 for part in parts(lines)) == 4
