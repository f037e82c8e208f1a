"""In the matched comparison all methods evaluate the networks that they train equally often."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd.draws import StreamDraws
from hkd.methods.evaluations import EvaluationCounter, networks
from hkd.plan.runs import Plan
from hkd.seeding import stream
from hkd.studies.budget import plan as budgets

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PLAN = Plan.load(str(CONFIGS / "benchmarks/embedded.yaml"), configs=CONFIGS)
STUDY = budgets.settings(PLAN)


@pytest.mark.parametrize("method", budgets.runs(PLAN))
def test_every_training_evaluates_its_own_networks_equally_often(method, tiny_run, build, feed):
    run, tiny = PLAN.run("shapes16", method), tiny_run(method)
    made, batch = build(tiny), feed(tiny)(0)
    for step in (0, tiny.training.steps - 1):  # a step costs the same early and late
        with (
            EvaluationCounter(networks(made)) as everything,
            EvaluationCounter(networks(made, ("teacher",))) as teacher,
        ):
            made.losses(batch, step=step, draws=StreamDraws(stream(0, "train", step)))
        own = (everything.counted - teacher.counted) / tiny.training.batch
        assert own * run.training.batch * run.training.steps == pytest.approx(STUDY.evaluations, rel=0.02)
