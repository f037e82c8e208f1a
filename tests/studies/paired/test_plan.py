"""The study of ablations: seven arms at equal budgets or steps, and pairs that are refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.studies.paired import plan as paired

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
PAIR = ["methods/hkd", "ablations/abl_no_traj"]


@cache
def plan(name: str) -> Plan:
    return Plan.load(str(CONFIGS / f"benchmarks/{name}.yaml"), configs=CONFIGS)


@pytest.mark.parametrize(("name", "seeds", "steps"), [("ablations", 10, 500), ("ablations_long", 3, 2000)])
def test_seven_arms_have_the_seeds_and_the_steps_that_the_study_says(name, seeds, steps):
    runs = paired.runs(plan(name))
    assert len(runs) == 7 and len(plan(name).seeds) == seeds
    assert {plan(name).run("shapes16", run).training.steps for run in runs} == {steps}
    assert len(paired.TABLE.work(plan(name)).inputs()) == 7 * seeds
    assert plan(name).trajectory_set("shapes16", "edm-heun").count == (3072 if steps == 500 else 4096)


def test_the_arms_are_the_two_by_two_design_and_what_stands_beside_it():
    arms = {run: plan("ablations").run("shapes16", run) for run in paired.runs(plan("ablations"))}
    design = {(run.params["frozen"], run.params["n_intermediate"] > 0) for run in arms.values()}
    assert design == {(False, False), (False, True), (True, False), (True, True)}
    images = {name: run.training.batch * (1 + run.params["n_intermediate"]) for name, run in arms.items()}
    unequal = {name for name, count in images.items() if count != images["methods/hkd"]}
    assert unequal == {"ablations/abl_no_traj_equal_steps"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pairs": []}, "name at least one pair of runs"),
        ({"pairs": [["methods/hkd", "methods/hkd"]]}, "methods/hkd is paired with itself"),
        ({"pairs": [PAIR, PAIR]}, "are paired twice"),
        ({"power": 0.04}, "power 0.04"),
    ],
)
def test_pairs_that_ask_nothing_are_refused(changes, expected):
    other = Plan.load(str(CONFIGS / "benchmarks/ablations.yaml"), {"studies": {"paired": changes}}, CONFIGS)
    with pytest.raises(ConfigError, match=expected):
        paired.settings(other)


def test_a_pair_of_a_run_that_is_none_is_refused_when_it_is_asked_for():
    changes = {"studies": {"paired": {"pairs": [["methods/hkd", "ablations/abl_no_trai"]]}}}
    other = Plan.load(str(CONFIGS / "benchmarks/ablations.yaml"), changes, CONFIGS)
    with pytest.raises(ConfigError, match="abl_no_traj"):
        paired.TABLE.work(other)
