"""The matched comparison: all that a method stands on is counted once."""

from __future__ import annotations

from pathlib import Path

from hkd import budgets
from hkd.plan import Plan

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
PLAN = Plan.load(str(CONFIGS / "budget.yaml"), configs=CONFIGS)
STUDY = budgets.study(PLAN)


def test_every_method_of_the_comparison_makes_one_step_images():
    for method in STUDY.methods:
        assert 1 in PLAN.run("shapes16", method).sampling.nfe


def test_the_third_flow_stands_on_the_two_before_it_and_on_all_their_pairs():
    found = budgets.behind(PLAN, "methods/rf3")
    assert set(found.runs) == {"methods/flow3", "methods/flow2", "methods/flow1"}
    assert set(found.sets) == {"flow3-distil", "flow2-reflow", "flow1-reflow"}


def test_a_method_from_nothing_stands_on_nothing():
    found = budgets.behind(PLAN, "methods/ct")
    assert found.runs == [] and found.sets == []


def test_the_table_is_made_from_everything_behind_its_curves():
    files = budgets.inputs(PLAN)
    assert len(files) == len(set(files))
    assert "results/budget/shapes16/methods/flow2/seed0/weights.safetensors" in files
    assert "results/budget/shapes16/trajectories/ddim-pairs/manifest.json" in files
