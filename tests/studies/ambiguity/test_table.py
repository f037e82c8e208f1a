"""The statistics of the ambiguity study against the paired t-test, simulation, limits, and a worked example."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from hkd.report.collect import ReportError
from hkd.studies.ambiguity.effects import Design, holm
from hkd.studies.ambiguity.table import (
    MATTERS,
    NOT_DETECTED,
    SUGGESTIVE,
    Arm,
    from_csv,
    lines,
    p_value,
    to_csv,
    verdict,
)


def design(arms, level=0.05, power=0.8) -> Design:
    return Design.of(arms, level=level, power=power)


# -- spread and test -------------------------------------------------------------------------------------------------


def test_with_two_arms_the_test_is_the_paired_t_test():
    y = np.random.default_rng(0).normal(size=(2, 6))
    made = design(y)
    paired, pooled = stats.ttest_rel(y[1], y[0]), stats.ttest_ind(y[1], y[0])
    change = float((y[1] - y[0]).mean())
    assert dataclasses.replace(made, plain=0.0).p_value(change) == pytest.approx(paired.pvalue)
    assert made.additive == pytest.approx(np.std(y[1] - y[0], ddof=1))
    assert abs(change) / (made.plain / math.sqrt(6)) == pytest.approx(abs(pooled.statistic))
    assert made.freedom == 5


def test_effects_of_arms_and_seeds_do_not_count_as_spread():
    assert design(np.add.outer([0.0, 3.0, -2.0], [0.5, -0.5, 9.0])).additive == pytest.approx(0, abs=1e-12)


def test_without_the_assumption_effects_of_seeds_do_count_and_the_larger_spread_decides():
    seeds = [0.5, -0.5, 9.0]
    made = design(np.add.outer([0.0, 3.0, -2.0], seeds))
    assert made.plain == pytest.approx(math.sqrt(2) * np.std(seeds, ddof=1)) and made.sd == made.plain
    against = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # seeds shift arms in opposite ways
    assert design(against).sd == design(against).additive > design(against).plain


def test_the_pooled_spread_is_that_of_a_paired_difference():
    draw = np.random.default_rng(1)
    y = np.add.outer(draw.normal(size=4000), [0.0, 7.0]) + draw.normal(scale=0.3, size=(4000, 2))
    assert design(y).additive == pytest.approx(0.3 * math.sqrt(2), rel=0.03)


def test_a_change_of_the_detectable_size_is_detected_with_the_set_power():
    """Whole studies, simulated: 9 arms, 3 seeds, one of the arms changed by what the true spread makes detectable."""
    draw, seen, tried = np.random.default_rng(2), 0, 4000
    change = Design(math.sqrt(2), 0.0, freedom=16, seeds=3, level=0.05, power=0.8).detectable
    for _ in range(tried):
        y = draw.normal(size=(9, 3))
        y[1] += change
        made = dataclasses.replace(design(y), plain=0.0)
        seen += made.p_value(float((y[1] - y[0]).mean())) < 0.05
    assert seen / tried == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / tried))


def test_without_a_change_the_level_is_kept():
    draw, tried = np.random.default_rng(3), 4000
    studies = draw.normal(size=(tried, 5, 2))
    designs = [(design(y), float((y[1] - y[0]).mean())) for y in studies]
    alarms = sum(dataclasses.replace(made, plain=0.0).p_value(change) < 0.05 for made, change in designs)
    assert alarms / tried == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / tried))
    assert sum(made.p_value(change) < 0.05 for made, change in designs) <= alarms, "the larger spread is the stricter"


def test_with_many_arms_the_detectable_change_is_the_normal_one():
    made = Design(1.0, 0.0, freedom=10**6, seeds=4, level=0.05, power=0.8)
    assert made.detectable == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / 2, rel=1e-4)


def test_more_seeds_power_or_spread_move_the_detectable_change_the_right_way():
    def detectable(**changes):
        return Design(
            **{"additive": 1.0, "plain": 0.0, "freedom": 20, "seeds": 2, "level": 0.05, "power": 0.8, **changes}
        ).detectable

    assert detectable(seeds=8) == pytest.approx(detectable() / 2)
    assert detectable(additive=3.0) == detectable(plain=3.0) == pytest.approx(3 * detectable())
    assert detectable(power=0.9) > detectable() < detectable(level=0.01)


@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_one_arm_or_one_seed_cannot_estimate_the_spread(shape):
    with pytest.raises(ValueError, match="two arms and two seeds"):
        design(np.zeros(shape))


def test_holm_reproduces_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0] and holm([]) == []


# -- the table -------------------------------------------------------------------------------------------------------

CENTRE = Arm("centre", "", "", "", scores=(20.0, 22.0))


def arm(name: str, factor: float, wobble: float = 0.01, **about) -> Arm:
    scores = (20.0 * factor * (1 + wobble), 22.0 * factor * (1 - wobble))
    return Arm(name, "key", name, **{"against": "centre", "scores": scores, **about})


def table(*variations: Arm):
    return lines(CENTRE, variations, level=0.05, power=0.8)


def test_a_large_change_matters_and_a_small_one_is_not_detected():
    found, made = table(arm("a", 1.5), arm("b", 1.01, -0.01), arm("c", 0.999), arm("d", 1.0, 0.02), arm("e", 0.5))
    assert [line["verdict"] for line in found] == [MATTERS, NOT_DETECTED, NOT_DETECTED, NOT_DETECTED, MATTERS]
    assert found[0]["change_percent"] == pytest.approx(50, abs=0.1)
    assert found[0]["difference"] == pytest.approx(10.5, abs=0.2)
    assert found[0]["detectable_difference"] == pytest.approx(21 * math.expm1(made.detectable), rel=1e-3)
    assert found[0]["p"] < found[0]["p_holm"] < 0.05


@pytest.mark.parametrize(
    "p, p_holm, expected",
    [(0.001, 0.03, MATTERS), (0.04, 0.05, SUGGESTIVE), (0.04, 0.6, SUGGESTIVE), (0.05, 0.6, NOT_DETECTED)],
)
def test_only_changes_significant_after_the_adjustment_matter(p, p_holm, expected):
    assert verdict(p, p_holm, 0.05) == expected


def test_a_variation_is_compared_with_the_arm_that_it_varies():
    found, _ = table(arm("a", 2.0), arm("b", 2.2, against="a"), arm("c", 1.0, -0.01))
    assert found[1]["fdn_against"] == pytest.approx(42, rel=0.01)
    assert found[1]["change_percent"] == pytest.approx(10, abs=0.5)


def test_arms_that_diverged_or_were_not_run_are_named_and_left_out_of_the_spread():
    plain, before = table(arm("a", 1.5), arm("b", 1.0, -0.02))
    odd = Arm("x", "key", "x", "centre", scores=(900.0, 20.0), diverged=1)
    found, after = table(
        arm("a", 1.5),
        arm("b", 1.0, -0.02),
        odd,
        arm("y", 1.0, against="x"),
        Arm("z", "k", "v", "centre", not_run="why"),
    )
    assert found[2]["verdict"] == "diverged: 1 of 2 seeds" and "change_percent" not in found[2]
    assert found[3]["verdict"] == "not run: x, which it varies, diverged"
    assert found[4]["verdict"] == "not run: why"
    assert after.freedom == before.freedom + 1  # of y, which is an arm of its own
    assert plain[0]["change_percent"] == found[0]["change_percent"]


def test_a_centre_that_diverged_is_refused():
    with pytest.raises(ReportError, match="centre of the study diverged"):
        lines(Arm("centre", "", "", "", scores=(1.0, 2.0), diverged=2), [arm("a", 1.0)], level=0.05, power=0.8)


def test_a_written_table_reads_back(tmp_path):
    found, _ = table(arm("a", 1.5), arm("b", 1.0), Arm("z", "k", "v", "centre", not_run="why, and how"))
    (tmp_path / "x.csv").write_text(to_csv(found))
    back = from_csv(tmp_path / "x.csv")
    assert [line["variation"] for line in back] == ["a", "b", "z"]
    assert float(back[0]["change_percent"]) == pytest.approx(found[0]["change_percent"], rel=1e-5)
    assert back[2]["change_percent"] == "" and back[2]["verdict"] == "not run: why, and how"
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ReportError, match="not a table of this version"):
        from_csv(tmp_path / "x.csv")
    with pytest.raises(ReportError, match="missing; run `hkd ambiguity`"):
        from_csv(tmp_path / "y.csv")


def test_a_p_value_that_is_not_known_further_out_is_a_bound():
    line = {"variation": "x", "p": 3e-18, "p_holm": 2.0e-6, "change_percent": 53.0}
    header, row = (text.split(",") for text in to_csv([line]).splitlines())
    cells = dict(zip(header, row, strict=True))
    assert (cells["p"], cells["p_holm"], cells["change_percent"]) == ("<1e-06", "2e-06", "53")
    assert p_value(cells["p"]) == 1e-6 and p_value(cells["p_holm"]) == 2e-6
