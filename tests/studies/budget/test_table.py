"""Budgets: pairs and bases of a training count in full, the training itself in proportion."""

from __future__ import annotations

import pytest

from hkd.settings.origins import ConfigError
from hkd.studies.budget.table import COLUMNS, check_matched, cost, lines, mean_curves, without_pairs

RUN = {"network_evals": 5000, "teacher_evals": 1000}  # 800 of them its own pairs
BASES = [{"network_evals": 600}, {"network_evals": 40}]
CURVE = {
    "method": "methods/rf2",
    "seed": 1,
    "n": 100,
    "steps": 50,
    "parameters": 7,
    "points": [{"step": 25, "fdn": 30.0}, {"step": 50, "fdn": 20.0}],
}


def test_the_parts_of_a_cost_add_up():
    found = cost(RUN, sets=[800, 300], bases=BASES, own_pairs=800)
    assert (found.own, found.teacher, found.pairs, found.bases) == (3200, 1000, 1100, 640)
    assert found.after(1.0)["total_evaluations"] == 3200 + 1000 + 1100 + 640


def test_half_a_training_costs_half_of_itself_and_all_that_came_before():
    found = cost(RUN, sets=[800, 300], bases=BASES, own_pairs=800)
    half = found.after(0.5)
    assert (half["own_evaluations"], half["teacher_evaluations"]) == (1600, 500)
    assert half["total_evaluations"] == 1600 + 500 + 1100 + 640


def test_a_run_has_a_line_for_every_milestone():
    made = lines(CURVE, "2-Rectified flow", cost(RUN, [800], [], 800))
    assert [line["step"] for line in made] == [25, 50]
    assert all(tuple(line) and set(line) == set(COLUMNS) for line in made)
    assert [line["own_evaluations"] for line in made] == [1600, 3200]


def test_a_base_is_counted_without_the_set_that_it_was_trained_on():
    found = cost(RUN, [], [without_pairs({"network_evals": 900, "teacher_evals": 0}, 300)], own_pairs=0)
    assert found.bases == 600


@pytest.mark.parametrize(("spent", "refused"), [(98, False), (102, False), (97, True), (103, True)])
def test_a_method_may_spend_two_per_cent_more_or_less_than_is_due(spent, refused):
    table = [{"own_evaluations": 50}, {"own_evaluations": spent}]
    if refused:
        with pytest.raises(ConfigError, match=f"budget/pd spends {spent} evaluations where evaluations = 100 are due"):
            check_matched("budget/pd", table, 100)
    else:
        check_matched("budget/pd", table, 100)


def test_a_curve_is_the_mean_over_seeds():
    found = cost(RUN, [800], [], 800)
    other = {**CURVE, "seed": 2, "points": [{"step": 25, "fdn": 50.0}, {"step": 50, "fdn": 30.0}]}
    curves = mean_curves([*lines(CURVE, "x", found), *lines(other, "x", found)])
    assert [point[2] for point in curves["methods/rf2"]] == pytest.approx([40.0, 25.0])
