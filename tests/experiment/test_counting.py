"""What is counted on a device without memory is what a step and an image cost on one that has some."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hkd.experiment.costing import step_operations
from hkd.experiment.counting import META, counts, feature_cost, one_image, stand_in, zeros
from hkd.plan.counted import Counts
from hkd.plan.passes import feature_operations
from hkd.plan.runs import Plan
from hkd.training.costs import step_cost

CPU = torch.device("cpu")


@pytest.mark.parametrize("method", ["methods/edm", "methods/ecm", "methods/hkd", "methods/kd"])
def test_without_memory_a_step_costs_what_it_costs_here(smoke_plan, method):
    plan = smoke_plan()
    counted = counts(plan, "shapes8", method)
    run = plan.run("shapes8", method)
    built, shape = stand_in(plan, "shapes8", method, CPU)
    here = step_cost(built.train(), zeros(run, shape, 1, CPU), zeros(run, shape, 2, CPU), draws="image")
    assert counted.step == here.flops > 0
    assert counted.kept == pytest.approx(here.kept, rel=0.05), "attention keeps what its kernel needs, which differ"
    assert counted.trained == sum(4 * p.numel() for name in built.trains for p in getattr(built, name).parameters())
    if 1 in run.sampling.nfe:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            one_image(built.eval(), run, shape, CPU)
        assert counted.forward == counter.get_total_flops()


def test_an_evaluation_costs_a_third_of_a_step_where_nothing_else_is_done(smoke_plan):
    counted = counts(smoke_plan(), "shapes8", "methods/edm")
    assert 2.8 < counted.step / counted.forward <= 3


def test_a_stand_in_takes_no_memory(smoke_plan):
    built, _ = stand_in(smoke_plan(), "shapes8", "methods/hkd", META)
    assert {p.device for p in built.parameters()} == {META}


@pytest.mark.parametrize("role", ["metric", "perceptual"])
def test_the_formula_of_feature_networks_is_what_is_counted(smoke_plan, role):
    plan = smoke_plan()
    assert feature_operations(plan, "shapes8", role) == feature_cost(plan, "shapes8", role)


def test_operations_of_a_step_are_those_that_are_kept_or_counted_or_none(monkeypatch, smoke_plan):
    plan, asked = smoke_plan(), []
    fresh = Counts(7.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    monkeypatch.setattr("hkd.experiment.counting.counts", lambda *of: asked.append(of) or fresh)
    assert step_operations(plan, "shapes8", "methods/edm", count=False) is None and not asked
    assert step_operations(plan, "shapes8", "methods/edm", count=True) == 7.0
    full = Plan.load(str(plan.configs / "benchmarks/cifar10.yaml"), configs=plan.configs)
    assert step_operations(full, "cifar10", "methods/edm", count=True) > 1e10 and len(asked) == 1
    own = Plan.load(str(plan.configs / "benchmarks/own.yaml"), configs=plan.configs)
    assert step_operations(own, "images", "methods/edm", count=True) is None
