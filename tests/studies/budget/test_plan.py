"""The matched comparison: everything that a method depends on is counted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd.plan.runs import Plan
from hkd.plan.stages import TRAIN
from hkd.settings.origins import ConfigError
from hkd.studies.budget import plan as budgets

GROUPS = ("budget", "methods")
CONFIGS = Path(__file__).resolve().parents[3] / "configs"
EMBEDDED = str(CONFIGS / "benchmarks/embedded.yaml")
PLAN = Plan.load(EMBEDDED, configs=CONFIGS)


def again(**changes) -> set[str]:
    """Which parts of the study other settings make again."""
    other, values = Plan.load(EMBEDDED, changes, CONFIGS), {"dataset": "shapes16", "method": "budget/hkd", "seed": 0}
    parts = {budgets.CURVE: values, budgets.TABLE: {}}
    return {part.name for part, of in parts.items() if part.work(PLAN, **of).digest != part.work(other, **of).digest}


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
    files = budgets.TABLE.work(PLAN).inputs()
    assert len(files) == len(set(files))
    assert "results/shapes16/methods/flow2/seed0/weights.safetensors" in files
    assert "results/shapes16/trajectories/ddim-pairs/manifest.json" in files
    assert "results/shapes16/budget/hkd/seed0/budget/curve.json" in files


def test_a_method_that_is_not_compared_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"budget/rf4: .* compares no such method. Did you mean 'rf"):
        PLAN.run("shapes16", "budget/rf4")


def test_runs_of_the_comparison_are_not_the_runs_of_the_tables():
    compared, printed = PLAN.run("shapes16", "budget/hkd"), PLAN.run("shapes16", "methods/hkd")
    assert compared.params == printed.params
    assert compared.training.schedule == "constant" != printed.training.schedule
    digests = {TRAIN.work(PLAN, dataset="shapes16", method=f"{group}/hkd", seed=0).digest for group in GROUPS}
    assert len(digests) == 2


def test_what_defines_a_curve_is_the_number_of_its_images_and_not_how_many_are_made_at_once():
    assert again(studies={"budget": {"images": 500}}) == {"budget_curve", "budget"}
    assert again(studies={"budget": {"batch": 50}}) == set()
    assert again(studies={"budget": {"evaluations": 20000}}) == {"budget"}


def test_the_comparison_is_made_on_the_data_set_that_the_study_names():
    assert budgets.dataset(PLAN) == "shapes16"
    assert budgets.dataset(Plan.load(EMBEDDED, {"studies": {"budget": {"dataset": "shapes8"}}}, CONFIGS)) == "shapes8"


def test_a_comparison_without_points_on_the_way_is_refused_with_the_line_to_change():
    other = Plan.load(EMBEDDED, {"studies": {"budget": {"set": {"training": {"milestones": []}}}}}, CONFIGS)
    with pytest.raises(ConfigError, match=r"set = .*name training.milestones"):
        budgets.settings(other)
