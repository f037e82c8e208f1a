"""What follows from agreement after the first steps and at the end."""

from __future__ import annotations

import math

import pytest

from hkd.report.csv import to_csv
from hkd.studies.determined.figure import caption, determined_figure
from hkd.studies.determined.table import COLUMNS, decision, rows, text, verdict

FITS = {"control": {"rank_with_truth": [0.99, 0.97], "largest_error": [0.1, 0.3], "true_range": [-1.0, 1.5]}}


def line(kind, *agreement, measure="modes", order="alpha"):
    count = len(agreement)
    return {
        "kind": kind,
        "measure": measure,
        "order_by": order,
        "steps": [5, 20, 80][:count],
        "agreement": list(agreement),
        "null": [None if a is None else 0.1 for a in agreement],
    }


@pytest.mark.parametrize(
    "first, last, expected",
    [
        (0.0, 0.97, "determined"),
        (0.2, 0.6, "determined in part"),
        (0.75, 0.6, "a common start"),
        (0.95, 0.95, "a common start"),
        (0.5, 0.05, "not determined"),
        (math.nan, 0.97, "determined"),
        (0.0, math.nan, "not determined"),
    ],
)
def test_what_data_determine_training_brings_about(first, last, expected):
    assert decision(first, last, 0.1, above=0.9) == expected


def test_every_kind_measure_and_order_has_a_row_and_missing_comparisons_decide_nothing():
    lines = [line("seeds", 0.7, 0.6, 0.5), line("seeds", 0.8, 0.7, 0.6), line("starts", None, 0.2, 0.4)]
    found = rows(lines, ["seeds", "teachers", "starts"], ["alpha"], above=0.9)
    assert [(row["kind"], row["measure"]) for row in found] == [
        (kind, measure) for kind in ("seeds", "teachers", "starts") for measure in ("modes", "places")
    ]
    by_kind = {row["kind"]: row for row in found if row["measure"] == "modes"}
    assert by_kind["seeds"] == {
        "kind": "seeds", "measure": "modes", "order_by": "alpha", "comparisons": 2, "first_step": 5, "first": "0.750",
        "last_step": 80, "last": "0.550", "sd": "0.071", "null": "0.100", "decision": "a common start",
    }  # fmt: skip
    assert by_kind["teachers"]["decision"] == "not run" and by_kind["teachers"]["comparisons"] == 0
    assert (by_kind["starts"]["first"], by_kind["starts"]["decision"]) == ("0.000", "determined in part")
    assert len(to_csv(found, COLUMNS).splitlines()) == 7


def test_the_text_says_every_decision_and_how_well_the_control_fits():
    found = rows([line("seeds", 0.7, 0.6, 0.5)], ["seeds", "teachers"], ["alpha"], above=0.9)
    said = text(found, FITS, "not run: teachers", "shapes, benchmark b")
    assert "shapes, benchmark b.\n\nThe spectrum: not run: teachers.\n" in said
    assert "0.970 or more" in said and "within 0.300" in said
    assert "- seeds, modes, by alpha: a common start (0.700 after 5 steps, 0.500 after 80, 95 % of its null" in said
    assert "- teachers, places, by alpha: not run.\n" in said


def test_the_figure_shows_every_kind_and_says_what_was_not_run():
    lines = [line("control", 0.0, 0.5, 0.98), line("seeds", None, 0.6, 0.5), line("seeds", None, None, None)]
    drawn = determined_figure(lines, ["control", "seeds", "teachers"], order="alpha", above=0.9)
    labels = [entry.get_text() for entry in drawn.legends[0].get_texts()]
    assert labels == ["control", "seeds", "teachers: not run"]
    assert "control: rank correlation with the true rates 0.970" in caption(
        dataset="d", benchmark="b", above=0.9, fits=FITS
    )


@pytest.mark.parametrize(
    "control, seeds, teachers, answer",
    [
        ((0.0, 0.98), (0.2, 0.95), (0.0, 0.93), "determined"),
        ((0.0, 0.98), (0.2, 0.95), (0.0, 0.03), "not determined by data alone: not between teachers"),
        ((0.0, 0.98), (0.8, 0.6), (0.0, 0.03), "not determined by data alone: not between seeds, teachers"),
        ((0.0, 0.3), (0.2, 0.95), (0.0, 0.93), "not run: at this length the measure does not see"),
        ((0.0, 0.98), (0.2, 0.95), None, "not run: teachers"),
    ],
)
def test_data_determine_a_spectrum_if_all_kinds_end_at_it_and_the_control_does(control, seeds, teachers, answer):
    lines = [line("control", *control), line("seeds", *seeds), line("free", 0.0, 0.1)]
    lines += [line("teachers", 0.0, 0.0), line("teachers", *teachers, measure="places")] if teachers else []
    found = rows(lines, ["control", "free", "seeds", "teachers"], ["alpha"], above=0.9)
    assert verdict(found, control="control", free="free", order="alpha").startswith(answer)
