"""The matched comparison: everything that a method depends on is counted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.studies.budget import plan as budgets

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
PLAN = Plan.load(str(CONFIGS / "embedded.yaml"), configs=CONFIGS)


def test_every_method_of_the_comparison_makes_one_step_images():
    for method in budgets.runs(PLAN):
        assert 1 in PLAN.run("shapes16", method).sampling.nfe


def test_the_third_flow_counts_the_two_before_it_and_all_their_pairs():
    found = budgets.behind(PLAN, "budget/rf3")
    assert set(found.runs) == {"methods/flow3", "methods/flow2", "methods/flow1"}
    assert set(found.sets) == {"flow3-distil", "flow2-reflow", "flow1-reflow"}


def test_a_method_without_a_base_has_no_cost_before_its_training():
    found = budgets.behind(PLAN, "budget/ct")
    assert found.runs == [] and found.sets == []


def test_the_table_is_made_from_everything_behind_its_curves():
    files = budgets.inputs(PLAN)
    assert len(files) == len(set(files))
    assert "results/shapes16/methods/flow2/seed0/weights.safetensors" in files
    assert "results/shapes16/trajectories/ddim-pairs/manifest.json" in files


def test_a_method_that_is_not_compared_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"budget/rf4: .* compares no such method. Did you mean 'rf"):
        PLAN.run("shapes16", "budget/rf4")


def test_runs_of_the_comparison_are_not_the_runs_of_the_tables():
    compared, printed = PLAN.run("shapes16", "budget/hkd"), PLAN.run("shapes16", "methods/hkd")
    assert compared.params == printed.params
    assert compared.training.schedule == "constant" != printed.training.schedule
    assert PLAN.train_digest("shapes16", "budget/hkd") != PLAN.train_digest("shapes16", "methods/hkd")
