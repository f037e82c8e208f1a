"""The arithmetic of verdicts: bands, intervals and margins by hand, and how often true claims are called worse."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from hkd.report.orderings import detectable, paired
from hkd.report.verdicts import (
    EXACT,
    NOT_USABLE,
    Band,
    Measured,
    Printed,
    Spread,
    Verdict,
    compare,
    exit_code,
    judge,
    least_of,
    margin_of,
    quantile,
    smallest,
)

T95 = {1: 12.7062, 2: 4.30265, 3: 3.18245, 6: 2.44691, 8: 2.30600, EXACT: 1.95996}  # printed tables of Student's t
NONE = Spread(0.0)


# -- the band ----------------------------------------------------------------------------------------------------------


def test_the_band_is_the_root_of_the_sum_of_the_squares_of_its_parts():
    measured = Measured((3.0, 3.2, 3.4, 3.6), draw=Spread(0.05))
    found = compare(measured, Printed(3.3, 0.01), 0.1, Spread(0.386, 6), 0.95)
    seed = statistics.stdev(measured.values) / 2
    assert found.band.seed.sd == pytest.approx(seed) and found.band.seed.freedom == 3
    assert found.band.rounding.sd == pytest.approx(0.01 / 12**0.5)
    assert found.band.sd == pytest.approx(math.sqrt(seed**2 + 0.05**2 + 0.386**2 + 0.01**2 / 12))
    assert (found.reproduced, found.expected) == (pytest.approx(3.3), 3.3)


def test_degrees_of_freedom_are_those_of_welch_for_two_samples():
    """Of two means of 5 and 9 values, by the formula as it stands in textbooks."""
    a, b, n, m = 1.3**2 / 5, 0.7**2 / 9, 5, 9
    expected = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
    band = Band(Spread(a**0.5, n - 1), None, Spread(b**0.5, m - 1), NONE)
    assert band.freedom == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("freedom, printed", T95.items())
def test_quantiles_are_those_of_printed_tables(freedom, printed):
    assert quantile(freedom, 0.95) == pytest.approx(printed, abs=6e-6 * printed)


def test_a_single_estimated_part_keeps_its_degrees_of_freedom_and_a_known_one_has_none_to_lose():
    assert Band(None, None, Spread(0.4, 6), NONE).freedom == pytest.approx(6)
    assert Band(None, None, Spread(0.4), Spread(0.1)).freedom == EXACT
    assert Band(None, None, NONE, NONE).freedom == EXACT and Band(None, None, NONE, NONE).half_width(0.95) == 0


def test_one_seed_is_held_by_the_spread_between_laboratories_and_by_nothing_else():
    held = compare(Measured((3.3,)), Printed(3.3, 0.01), 2.0, Spread(0.386, 6), 0.95)
    assert held.band.seed is None and held.half == pytest.approx(T95[6] * 0.386, rel=1e-3)
    assert held.verdict is Verdict.REPRODUCED
    alone = compare(Measured((3.3,)), Printed(3.3, 0.01), 2.0, NONE, 0.95)
    assert alone.half == math.inf and alone.verdict is Verdict.INCONCLUSIVE and alone.needs.seeds == 2


# -- verdicts on numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "difference, half, margin, verdict",
    [
        (0.05, 0.05, 0.1, Verdict.REPRODUCED),  # the interval ends on the margin
        (0.0501, 0.05, 0.1, Verdict.INCONCLUSIVE),
        (-0.05, 0.05, 0.1, Verdict.REPRODUCED),
        (-0.0501, 0.05, 0.1, Verdict.INCONCLUSIVE),
        (0.09, 0.01, 0.1, Verdict.REPRODUCED),  # beyond zero, and within the margin all the same
        (0.1, 0.05, 0.1, Verdict.INCONCLUSIVE),  # on the margin is not beyond it
        (0.1001, 0.05, 0.1, Verdict.WORSE),
        (-0.1001, 0.05, 0.1, Verdict.BETTER),
        (0.5, 0.5, 0.1, Verdict.INCONCLUSIVE),  # the interval touches zero
        (0.5001, 0.5, 0.1, Verdict.WORSE),
        (-0.5, 0.5, 0.1, Verdict.INCONCLUSIVE),
        (-0.5001, 0.5, 0.1, Verdict.BETTER),
        (0.0, math.inf, 0.1, Verdict.INCONCLUSIVE),
    ],
)
def test_both_sides_of_every_boundary(difference, half, margin, verdict):
    assert judge(difference, half, margin) is verdict


@pytest.mark.parametrize(
    "value, ranked, margin",
    [
        (3.30, [3.38, 3.55, 2.83], 0.04),
        (3.55, [3.30], 0.125),
        (9.12, [], 0.912),
        (0.03, [0.03], 0.003),  # ranked against an equal only
        (3.30, [3.30, 4.78], 0.74),
    ],
)
def test_the_margin_is_half_the_distance_to_the_nearest_rival_or_a_tenth(value, ranked, margin):
    assert margin_of(value, ranked, share=0.5, otherwise=0.1) == pytest.approx(margin)


def test_the_smallest_of_three_normal_numbers():
    """Closed form for three: mean -3 / (2 sqrt(pi)), variance 1 + sqrt(3) / (2 pi) - mean²."""
    mean, sd = least_of(3)
    assert mean == pytest.approx(-3 / (2 * math.sqrt(math.pi)), abs=1e-9)
    assert sd**2 == pytest.approx(1 + math.sqrt(3) / (2 * math.pi) - mean**2, abs=1e-9)
    assert least_of(1) == (0.0, 1.0)
    drawn = np.random.default_rng(0).standard_normal((200_000, 5)).min(axis=1)
    assert least_of(5) == (pytest.approx(drawn.mean(), abs=0.01), pytest.approx(drawn.std(), abs=0.01))


def test_a_minimum_of_three_is_compared_as_one():
    """Printed 1.97 as the smallest of three of spread 0.04: one evaluation would have read 2.004."""
    found = compare(Measured((2.0,), Spread(0.04)), Printed(1.97, 0.01, 3), 0.197, Spread(0.1, 6), 0.95)
    assert found.expected == pytest.approx(1.97 + 0.846284 * 0.04, abs=1e-6)
    assert found.band.draw.sd == pytest.approx(0.747975 * 0.04, abs=1e-6)
    unknown = compare(Measured((2.0,)), Printed(1.97, 0.01, 3), 0.197, Spread(0.1, 6), 0.95)
    assert unknown.expected == 1.97 and unknown.band.draw is None


# -- what would resolve an open claim ----------------------------------------------------------------------------------


def test_the_seeds_that_would_resolve_are_the_fewest_that_do():
    values = (3.4, 3.9, 2.9)  # mean 3.4, spread 0.5
    found = compare(Measured(values), Printed(3.3, 0.01), 0.33, Spread(0.01), 0.95)
    assert found.verdict is Verdict.INCONCLUSIVE
    needed = found.needs.seeds

    def open_with(n: int) -> bool:
        band = Band(Spread(0.5 / n**0.5, n - 1), None, Spread(0.01), Spread(0.01 / 12**0.5))
        return judge(0.1, band.half_width(0.95), 0.33) is Verdict.INCONCLUSIVE

    assert needed > 3 and not open_with(needed) and open_with(needed - 1)


def test_no_number_of_seeds_resolves_what_laboratories_leave_open():
    found = compare(Measured((3.3, 3.4, 3.2)), Printed(3.3, 0.01), 0.04, Spread(0.386, 6), 0.95)
    assert found.verdict is Verdict.INCONCLUSIVE and found.needs.seeds is None and found.needs.images is None
    assert found.needs.floor == pytest.approx(T95[6] * 0.386, rel=1e-3)


def test_more_images_resolve_what_the_draw_leaves_open():
    measured = Measured((3.3, 3.3001, 3.2999), Spread(0.2), images=50_000)
    found = compare(measured, Printed(3.3, 0.01), 0.1, Spread(0.01), 0.95)
    assert found.verdict is Verdict.INCONCLUSIVE and found.needs.seeds is None
    assert pytest.approx(found.needs.images, rel=0.1) == 50_000 * (1.96 * 0.2 / 0.1) ** 2


def test_the_search_for_the_smallest_ends():
    assert smallest(lambda n: n >= 1000, above=3, ever=True) == 1000
    assert smallest(lambda n: n >= 4, above=3, ever=True) == 4
    assert smallest(lambda n: False, above=3, ever=True) is None
    assert smallest(lambda n: True, above=3, ever=False) is None


# -- orderings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "differences, verdict",
    [
        ((1.0, 1.5, 2.0), Verdict.REPRODUCED),  # 1.5 ± 4.303 * 0.5 / sqrt(3) = 1.5 ± 1.242
        ((0.7, 1.2, 1.7), Verdict.INCONCLUSIVE),  # 1.2 ± 1.242
        ((-0.7, -1.2, -1.7), Verdict.INCONCLUSIVE),
        ((-1.0, -1.5, -2.0), Verdict.WORSE),
        ((1.0, 1.0), Verdict.REPRODUCED),
        ((0.0, 0.0), Verdict.INCONCLUSIVE),
        ((5.0,), Verdict.INCONCLUSIVE),
    ],
)
def test_an_ordering_holds_where_its_interval_is_beyond_zero(differences, verdict):
    assert paired(differences, 0.95, 0.8).verdict is verdict


def test_an_open_ordering_says_how_many_seeds_it_takes():
    """1.2 of spread 0.5: of four seeds the half width is 3.182 * 0.25 = 0.796."""
    assert paired((0.7, 1.2, 1.7), 0.95, 0.8).seeds == 4
    assert paired((0.0, 1.0, -1.0), 0.95, 0.8).seeds is None, "equal means: no number does"
    assert paired((1.0, 1.5, 2.0), 0.95, 0.8).seeds is None, "nothing is open"
    assert paired((5.0,), 0.95, 0.8).seeds == 2
    assert paired((5.0,), 0.95, 0.8).half is None and paired((5.0,), 0.95, 0.8).detectable is None


def test_two_seeds_detect_what_two_seeds_can():
    """With one degree of freedom, P(|T| > 12.706) = 0.8 at a noncentrality of 16.2: integrated over chi by hand."""
    u = np.sqrt(stats.chi2.ppf((np.arange(100_000) + 0.5) / 100_000, 1))
    shift = detectable(1.0, 1, level=0.05, power=0.8)
    assert stats.norm.cdf(shift - T95[1] * u).mean() == pytest.approx(0.8, abs=1e-4)


def test_the_smallest_detectable_difference_is_detected_as_often_as_it_says():
    seen = detectable(0.5 / 3**0.5, 2, level=0.05, power=0.8)
    draws = np.random.default_rng(1).normal(seen, 0.5, (4000, 3))
    t = draws.mean(1) / (draws.std(1, ddof=1) / 3**0.5)
    assert (abs(t) > T95[2]).mean() == pytest.approx(0.8, abs=0.02)


# -- exit codes and toys -----------------------------------------------------------------------------------------------


def test_exit_codes():
    codes = {verdict: exit_code(verdict) for verdict in Verdict}
    assert codes[Verdict.REPRODUCED] == codes[Verdict.BETTER] == 0
    assert codes[Verdict.WORSE] == 1
    toys = (Verdict.TOY_AGREES, Verdict.TOY_DISAGREES, Verdict.TOY_UNRESOLVED)
    assert {codes[verdict] for verdict in (Verdict.INCONCLUSIVE, *toys)} == {2}
    assert {codes[v] for v in (Verdict.NOT_COMPARABLE, Verdict.INCOMPLETE, Verdict.NOT_RUN)} == {NOT_USABLE} == {3}
    assert exit_code(Verdict.BETTER, strict=True) == 1 and exit_code(Verdict.REPRODUCED, strict=True) == 0


def test_a_toy_says_no_more_than_agrees_or_disagrees():
    weakened = {verdict: verdict.at_toy_scale() for verdict in Verdict}
    assert weakened[Verdict.REPRODUCED] is Verdict.TOY_AGREES
    assert weakened[Verdict.WORSE] is weakened[Verdict.BETTER] is Verdict.TOY_DISAGREES
    assert weakened[Verdict.INCONCLUSIVE] is Verdict.TOY_UNRESOLVED
    assert all(exit_code(verdict) >= 2 for verdict in weakened.values())


# -- how often true claims come out worse ------------------------------------------------------------------------------

TRUE, SEED_SD, DRAW_SD, LAB_SD = 3.3, 0.06, 0.03, 0.117


def outcomes(count: int, seeds: int, *, margin: float, minimum_of: int = 1, estimated_from: int = 7) -> list[Verdict]:
    """Verdicts on claims that are true: two laboratories that differ, a printed and some reproduced trainings."""
    random = np.random.default_rng([seeds, minimum_of, estimated_from])
    found = []
    for _ in range(count):
        # the ratio of the two laboratories, whose spread a third party estimated from other pairs
        known = random.normal(0, LAB_SD, estimated_from).std(ddof=1)
        ours, theirs = TRUE * math.exp(random.normal(0, LAB_SD)), TRUE
        evaluations = theirs + random.normal(0, DRAW_SD, minimum_of)
        printed = Printed(round(float(evaluations.min()), 2), 0.01, minimum_of)
        values = tuple(ours + random.normal(0, math.hypot(SEED_SD, DRAW_SD), seeds))
        lab = Spread(float(known) * printed.value, estimated_from - 1)
        found.append(compare(Measured(values, Spread(DRAW_SD)), printed, margin, lab, 0.95).verdict)
    return found


@pytest.mark.parametrize("seeds, minimum_of", [(1, 1), (2, 1), (3, 3), (10, 3)])
def test_true_claims_come_out_worse_in_at_most_five_per_cent(seeds, minimum_of):
    """With a margin of nothing, so that the interval alone decides: two-sided 95 %, half of its errors are `worse`."""
    found = outcomes(800, seeds, margin=0.0, minimum_of=minimum_of)
    share = found.count(Verdict.WORSE) / len(found)
    assert share <= 0.05
    assert 0.9 <= found.count(Verdict.INCONCLUSIVE) / len(found) <= 0.985, "nor does the interval cover everything"


def test_false_claims_are_found_out():
    """A reproduction that is half as bad again as printed comes out worse almost always."""
    random = np.random.default_rng(5)
    found = []
    for _ in range(300):
        values = tuple(TRUE * 1.5 * math.exp(random.normal(0, LAB_SD)) + random.normal(0, SEED_SD, 3))
        found.append(compare(Measured(values), Printed(TRUE, 0.01), 0.33, Spread(LAB_SD * TRUE), 0.95).verdict)
    assert found.count(Verdict.WORSE) / len(found) > 0.9
