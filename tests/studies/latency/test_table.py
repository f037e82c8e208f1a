"""A line of the table: medians of seeds, quartiles of calls, and seeds that must have been timed alike."""

from __future__ import annotations

import pytest

from hkd.report.collect import ReportError
from hkd.report.csv import to_csv
from hkd.studies.comparison.gathered import of_cell
from hkd.studies.comparison.said import Cell
from hkd.studies.latency.table import COLUMNS, about, latex, line, markdown

CALLS = {"seconds": [0.04, 0.02, 0.03, 0.01, 0.05], "batch": 1, "device": "Tesla V100-SXM2-32GB", "precision": "fp32"}
CALLS |= {"threads": 1, "parameters": 55_733_891, "operations": 41.542e9}
ROW = ("HKD", "methods/hkd", "shipped/hkd", 1, 0.03)


def test_a_seed_has_the_median_of_its_calls_and_a_row_the_quartiles_of_all():
    other = {**CALLS, "seconds": [0.06, 0.07, 0.08, 0.09, 0.10]}
    found = line(*ROW, [CALLS, other])
    assert (found["seconds"], found["printed"], found["repeats"]) == ("0.03 0.08", "0.03", 5)
    assert (found["lower"], found["upper"]) == ("0.0325", "0.0775")
    half = line(*ROW, [{**CALLS, "batch": 2}])
    assert half["seconds"] == "0.015", "of an image"
    one = line(*ROW, [{**CALLS, "seconds": [0.5]}])
    assert (one["seconds"], one["lower"], one["upper"]) == ("0.5", "0.5", "0.5")


@pytest.mark.parametrize("change", [{"device": "cpu"}, {"precision": "tf32"}, {"batch": 8}, {"threads": 2}])
def test_seeds_that_were_timed_otherwise_do_not_stand_in_one_row(change):
    with pytest.raises(ReportError, match=rf"shipped/hkd at 1 NFE: {next(iter(change))} is .* and .*; time every seed"):
        line(*ROW, [CALLS, {**CALLS, **change}])


def test_a_row_that_was_not_timed_is_a_line_without_its_number():
    empty = line("CD", "methods/cd", None, 1, 0.02, [])
    assert empty["seconds"] == empty["device"] == "" and empty["printed"] == "0.02"
    lines = [line(*ROW, [CALLS]), empty]
    said = about(lines, "CIFAR-10", "cifar10")
    page = markdown(lines, said)
    assert "on Tesla V100-SXM2-32GB in fp32, 1 images at a time: medians of 5 calls" in page
    rows = [[cell.strip() for cell in text.split("|")[1:-1]] for text in page.splitlines() if text.startswith("| ")][2:]
    assert rows == [
        ["HKD", "shipped/hkd", "1", "0.03", "0.02 to 0.04", "0.03", "55.73", "41.542"],
        ["CD", "methods/cd", "1", "—", "—", "0.02", "—", "—"],
    ]
    assert r"HKD & shipped/hkd & 1 & 0.03" in latex(lines, said)
    assert about([empty], "CIFAR-10", "cifar10") == "Nothing of benchmark cifar10 was timed."


def test_a_claim_finds_its_cell_with_the_card_beside_it(tmp_path):
    path = tmp_path / "table6.csv"
    path.write_text(to_csv([line(*ROW, [CALLS]), line("CD", "methods/cd", None, 1, 0.02, [])], COLUMNS))
    cells = [
        Cell(file="table6.csv", column="seconds", where={"run": run, "nfe": "1"}, must={"device": "V100"})
        for run in ("methods/hkd", "methods/cd")
    ]
    (found,), absent = of_cell(path, cells[0]).lines, of_cell(path, cells[1])
    assert (found["cell"], found["device"]) == ("0.03", "Tesla V100-SXM2-32GB")
    assert not absent.lines and "a line with run = methods/cd, nfe = 1" in absent.missing[0]
