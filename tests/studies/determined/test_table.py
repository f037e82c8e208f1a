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
    "first, last, spread, expected",
    [
        (0.0, 0.97, 0.1, "determined"),
        (0.2, 0.6, 0.1, "determined in part"),
        (0.2, 0.6, 0.39, "determined in part"),
        (0.2, 0.6, 0.41, "a common start"),
        (0.91, 0.97, 0.05, "determined"),
        (0.91, 0.97, 0.07, "a common start"),
        (0.75, 0.6, 0.0, "a common start"),
        (0.95, 0.95, 0.0, "a common start"),
        (0.5, 0.05, 0.1, "not determined"),
        (0.0, math.nan, 0.1, "not determined"),
        (0.0, 0.97, None, "not run: needs 2 comparisons"),
        (0.5, 0.05, None, "not determined"),
    ],
)
def test_what_data_determine_training_brings_about_beyond_the_spread_of_comparisons(first, last, spread, expected):
    assert decision(first, last, 0.1, spread=spread, above=0.9) == expected


def test_every_kind_measure_and_order_has_a_row_and_missing_comparisons_decide_nothing():
    lines = [line("seeds", 0.7, 0.6, 0.5), line("seeds", 0.8, 0.7, 0.7), line("starts", None, 0.2, 0.4)]
    lines += [line("starts", None, 0.2, 0.5), line("alone", 0.0, 0.5, 0.95)]
    kinds = ["seeds", "teachers", "starts", "alone"]
    found = rows(lines, kinds, ["alpha"], above=0.9)
    assert [(row["kind"], row["measure"]) for row in found] == [
        (kind, measure) for kind in kinds for measure in ("modes", "places")
    ]
    by_kind = {row["kind"]: row for row in found if row["measure"] == "modes"}
    assert by_kind["seeds"] == {
        "kind": "seeds", "measure": "modes", "order_by": "alpha", "comparisons": 2, "first_step": 5, "first": "0.750",
        "last_step": 80, "last": "0.600", "sd": "0.141", "rise_sd": "0.071", "null": "0.100",
        "decision": "a common start",
    }  # fmt: skip
    assert by_kind["teachers"]["decision"] == "not run" and by_kind["teachers"]["comparisons"] == 0
    assert (by_kind["starts"]["first"], by_kind["starts"]["decision"]) == ("0.000", "determined in part")
    assert (by_kind["alone"]["rise_sd"], by_kind["alone"]["decision"]) == ("", "not run: needs 2 comparisons")
    assert len(to_csv(found, COLUMNS).splitlines()) == 9


def test_the_text_says_every_decision_and_how_well_the_control_fits():
    lines = [line("seeds", 0.7, 0.6, 0.5), line("seeds", 0.7, 0.6, 0.5)]
    found = rows(lines, ["seeds", "teachers"], ["alpha"], above=0.9)
    said = text(found, FITS, "not run: teachers", "shapes, benchmark b")
    assert "shapes, benchmark b.\n\nThe spectrum: not run: teachers.\n" in said
    assert "0.970 or more" in said and "within 0.300" in said
    assert "- seeds, modes, by alpha: a common start (0.700 after 5 steps, 0.500 after 80, standard deviation" in said
    assert "of the rise 0.000, 95 % of its null 0.100; 2 comparisons)" in said
    assert "- teachers, places, by alpha: not run.\n" in said


def test_the_figure_shows_every_kind_and_says_what_was_not_run():
    lines = [line("control", 0.0, 0.5, 0.98), line("seeds", None, 0.6, 0.5), line("seeds", None, None, None)]
    drawn = determined_figure(lines, ["control", "seeds", "teachers"], order="alpha", above=0.9)
    labels = [entry.get_text() for entry in drawn.legends[0].get_texts()]
    assert labels == ["control", "seeds", "teachers: not run"]
    said = caption(dataset="d", benchmark="b", order="alpha", above=0.9, fits=FITS)
    assert "control: rank correlation with the true rates 0.970" in said and "sorted by alpha," in said
    assert drawn.axes[0].get_ylabel() == "rank correlation of rates by alpha"


@pytest.mark.parametrize(
    "control, seeds, teachers, answer",
    [
        ((0.0, 0.98), (0.2, 0.95), (0.0, 0.93), "determined"),
        ((0.0, 0.98), (0.2, 0.95), (0.0, 0.03), "not determined by data alone: not between teachers"),
        ((0.0, 0.98), (0.8, 0.6), (0.0, 0.03), "not determined by data alone: not between seeds, teachers"),
        ((0.0, 0.3), (0.2, 0.95), (0.0, 0.93), "not run: at this length the measure does not see"),
        ((0.0, 0.98), (0.2, 0.95), None, "not run: teachers"),
    ],
    ids=("all", "not teachers", "a common start", "blind", "no teachers"),
)
def test_data_determine_a_spectrum_if_all_kinds_end_at_it_and_the_control_does(control, seeds, teachers, answer):
    lines = [line("control", *control), line("seeds", *seeds), line("free", 0.0, 0.1)]
    lines += [line("teachers", 0.0, 0.0), line("teachers", *teachers, measure="places")] if teachers else []
    assert answered(2 * lines).startswith(answer)


@pytest.mark.parametrize("kind", ["control", "seeds", "teachers"])
def test_one_comparison_of_a_kind_decides_nothing(kind):
    kinds = {"control": (0.0, 0.98), "seeds": (0.2, 0.95), "teachers": (0.0, 0.93)}
    lines = [line(name, *ends) for name, ends in kinds.items() for _ in range(1 if name == kind else 2)]
    assert answered(lines) == f"not run: {kind}"


def answered(lines) -> str:
    """The answer of comparisons of these kinds."""
    found = rows(lines, ["control", "free", "seeds", "teachers"], ["alpha"], above=0.9)
    return verdict(found, control="control", free="free", order="alpha")
