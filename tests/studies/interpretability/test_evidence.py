"""The rows on interpretability: each number is the quantity that it is called, and decisions follow the rules."""

from __future__ import annotations

import math

import pytest
from pytest import approx
from scipy import stats

from hkd.report.collect import ReportError
from hkd.report.csv import to_csv
from hkd.studies.interpretability.accessible import closure_rows, teacher_rows
from hkd.studies.interpretability.answers import COLUMNS, Decision, compared, half_width
from hkd.studies.interpretability.evidence import agreement_decision, evidence, factor_rows, middle_error
from hkd.studies.interpretability.quantities import (
    DENOISED,
    FDN,
    LATENT,
    MIDDLE,
    MOVED,
    NEARER,
    PREDICTED,
    PRICE,
    QUALITY,
    SKIPPED,
    STATE,
    agreement_between,
    gain_at_equal,
)
from tests.studies.interpretability.case import (
    COMPUTE,
    HKD,
    MENDED,
    STEPS,
    STUDY,
    TITLES,
    closure,
    factors,
    losses,
    measured,
    quality,
)

RULES = STUDY.rules


def rows_of(**changes):
    return {(row.run, row.quantity): row for row in evidence(measured(**changes), STUDY, TITLES)}


def test_every_question_run_and_order_has_its_row():
    rows = rows_of()
    assert len(rows) == 2 * 9 + 1 + 2 * 2 + 2 + 6 + 4 + 2 * 5
    text = to_csv([row.cells() for row in rows.values()], COLUMNS)
    assert len(text.splitlines()) == len(rows) + 1


def test_closure_is_judged_by_its_worst_time_and_seed():
    def decision(quantity, *errors):
        rows = {row.quantity: row for row in closure_rows(HKD, "HKD", errors, RULES)}
        return rows[quantity].decision

    assert decision(LATENT, closure(latent=0.09), closure(latent=0.02)) == "closed"
    assert decision(LATENT, closure(latent=0.09), closure(latent=0.11)) == "not closed"
    assert decision(STATE, closure(state=0.2)) == "accessible"
    assert decision(STATE, closure(state=0.2), closure(state=0.3)) == "not accessible"
    assert decision(NEARER, closure(state=0.1, clean=0.2)) == "the state"
    assert decision(NEARER, closure(state=0.2, clean=0.1)) == "the clean image"
    assert decision(NEARER, closure(state=0.2, clean=0.1), closure(state=0.1, clean=0.2)) == "depends on the time"
    assert decision(MOVED, closure(0.5), closure(0.52), closure(0.51)) == "below"
    assert decision(MOVED, closure(1.5), closure(1.52), closure(1.51)) == "above"
    assert decision(MOVED, closure(0.5), closure(1.6), closure(1.0)) == "undecided"


def test_what_is_decoded_is_judged_beside_a_perfect_generator_and_the_teacher():
    def of(quantity, *errors):
        return {row.quantity: row for row in teacher_rows(HKD, "HKD", errors, RULES)}[quantity]

    denoised = of(DENOISED, closure(denoised=0.2), closure(denoised=0.24))
    assert (denoised.decision, denoised.perfect, denoised.teacher) == ("accessible", approx(0.8), approx(0.6))
    assert of(DENOISED, closure(denoised=0.2), closure(denoised=0.26)).decision == "not accessible"
    assert of(SKIPPED, closure(skipped=0.2)).decision == "accessible"
    assert of(SKIPPED, closure(skipped=0.4)).decision == "not accessible"
    assert of(SKIPPED, closure(skipped=0.4, skipped_perfect=0.3)).decision == Decision.VOID
    assert of(SKIPPED, closure(skipped=0.2, skipped_perfect=0.3)).decision == "accessible"
    better = [closure(predicted=own) for own in (0.2, 0.21, 0.19)]
    assert (of(PREDICTED, *better).decision, of(PREDICTED, *better).teacher) == ("below", approx(0.4))
    assert of(PREDICTED, *better).perfect == 0.0 and of(PREDICTED, better[0]).decision == Decision.NOT_RUN
    state = {row.quantity: row for row in closure_rows(HKD, "HKD", better, RULES)}[STATE]
    assert (state.perfect, state.teacher, state.cells()["perfect"]) == (approx(0.99), approx(0.98), "0.99")


def test_a_variant_has_its_price_in_quality_beside_it():
    rows = rows_of()
    assert rows[HKD, QUALITY].values == (15.0, 16.0, 15.5) and (HKD, PRICE) not in rows
    assert rows[MENDED, PRICE].mean == pytest.approx(0.9333, rel=1e-3) and rows[MENDED, PRICE].decision == "above"
    assert (
        rows_of(quality={HKD: quality(15.0, 16.0), MENDED: quality(16.0, 15.0)})[MENDED, PRICE].decision == "undecided"
    )


def test_the_ends_of_a_trajectory_do_not_count_as_intermediate():
    errors = closure()
    errors["state"] = [9.0, 0.1, 0.1, 0.1, 0.1, 9.0]
    rows = {row.quantity: row for row in closure_rows(HKD, "HKD", [errors], RULES)}
    assert rows[STATE].mean == pytest.approx(0.1)


@pytest.mark.parametrize("values", [[0.1, 0.3, 0.25], [-1.0, -1.2], [5.0, 5.1, 4.9, 5.0]])
def test_a_difference_is_decided_as_students_test_decides_it(values):
    assert half_width(values, 0.95) == pytest.approx(
        stats.t.interval(0.95, len(values) - 1, 0, stats.sem(values))[1]
    )  # fmt: skip
    significant = stats.ttest_1samp(values, 0.0).pvalue < 0.05
    assert (compared(values, 0.0, RULES) != "undecided") == significant
    if significant:
        assert compared(values, 0.0, RULES) == ("above" if values[0] > 0 else "below")


@pytest.mark.parametrize("value", [0.5, 1.0, 2.0, math.nan])
def test_a_single_value_leaves_the_comparison_not_run(value):
    assert compared([value], 1.0, RULES) == Decision.NOT_RUN


def test_the_loss_is_judged_by_paired_differences_at_both_budgets():
    rows = rows_of()
    quality, error = (gain_at_equal("compute", of) for of in (FDN, MIDDLE))
    assert rows[COMPUTE, quality].values == pytest.approx((-1.0, -0.9, -1.1))
    assert rows[COMPUTE, quality].decision == "hurts"
    assert rows[COMPUTE, error].decision == "helps"
    at_steps = gain_at_equal("steps", FDN)
    assert rows[STEPS, at_steps].decision == "no difference that this design could detect"
    assert rows[STEPS, at_steps].reference == pytest.approx(half_width([0.4, -0.2, 0.1], 0.95))


def test_one_seed_has_no_spread_and_decides_no_difference():
    changes = {
        "closure": {run: [closure()] for run in (HKD, MENDED)},
        "quality": {run: quality(15.0) for run in (HKD, MENDED)},
        "agreement": [],
        "losses": {run: losses([15.0], [0.01]) for run in (HKD, STEPS, COMPUTE)},
        "factors": {HKD: {order: [factors()] for order in STUDY.orders}},
    }
    rows = rows_of(**changes)
    assert rows[COMPUTE, gain_at_equal("compute", FDN)].decision == Decision.NOT_RUN
    agreement = rows[HKD, agreement_between("seeds", "alpha")]
    assert (agreement.decision, agreement.cells()["mean"], agreement.cells()["sd"]) == (Decision.NOT_RUN, "", "")
    assert rows[HKD, LATENT].cells()["sd"] == "" and rows[HKD, LATENT].decision == "not closed"
    assert rows[HKD, MOVED].decision == Decision.NOT_RUN


def test_middle_errors_average_over_the_middle_alone():
    assert middle_error(losses([0.0], [0.25])["errors"][0], RULES) == 0.25


def test_a_rule_that_no_noise_level_meets_is_named():
    with pytest.raises(ReportError, match=r"rules\.middle: no noise level from 30 to 40 among 80, 10, 2, 0.002"):
        middle_error(losses([0.0], [0.25])["errors"][0], RULES.model_copy(update={"middle": (30.0, 40.0)}))
    with pytest.raises(ReportError, match=r"rules\.apart: no noise level at or above 50 among 10, 2, 0.6, 0.05"):
        closure_rows(HKD, "HKD", [closure()], RULES.model_copy(update={"apart": 50.0}))


@pytest.mark.parametrize(
    "values, p_values, decision",
    [
        ([0.95, 0.91], [0.01, 0.01], "determined"),
        ([0.5, 0.4], [0.01, 0.01], "partly determined"),
        ([0.1, 0.0], [0.01, 0.4], "not determined"),
        ([math.nan], [1.0], "not determined"),
        ([], [], Decision.NOT_RUN),
    ],
)
def test_agreement_is_judged_by_size_and_null(values, p_values, decision):
    assert agreement_decision(values, p_values, RULES) == decision


def test_bands_carry_factors_only_if_every_seed_says_so():
    def decisions(*seeds):
        return [row.decision for row in factor_rows(HKD, "HKD", "alpha", seeds, RULES)]

    strong, weak = factors(separation=0.3), factors(separation=0.05)
    expected = ["carry factors", "carry factors", "divide factors", "divide factors", "the test can see"]
    assert decisions(strong, strong) == expected
    assert decisions(strong, factors(special=0.05))[2] == "in some seeds"
    assert decisions(strong, weak)[0] == "in some seeds"
    assert decisions(weak, weak)[0] == "no evidence"
    assert decisions(weak, factors(control=0.01))[4] == "the test is blind"
