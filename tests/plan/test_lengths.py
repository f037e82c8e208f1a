"""Which trainings go on to more steps than they were begun with, and which setting forbids it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd.plan.lengths import FREE, bound
from hkd.plan.runs import Plan
from hkd.plan.stages import TRAIN
from hkd.settings.origins import ConfigError
from hkd.settings.signatures import constructor_arguments

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
METHODS = sorted(f"{path.parent.name}/{path.stem}" for g in ("methods", "ablations") for path in CONFIGS.glob(f"{g}/*"))
BOUND_AT_FULL_SCALE = {"ct", "ict", "ict_deep", "pd", "hkd", "hkd_cond"}  # beside HKD's ablations


@pytest.fixture
def plan(smoke_plan):
    """A smoke benchmark with some keys of its trainings changed."""

    def made(scale: str = "embedded", params: dict | None = None, **training) -> Plan:
        return smoke_plan(scale=scale, set={"training": training, **({"params": params} if params else {})})

    return made


@pytest.mark.parametrize(
    ("method", "training", "why"),
    [
        ("methods/edm", {}, "training.schedule cosine"),
        ("methods/edm", {"schedule": "constant"}, None),
        ("methods/edm", {"schedule": "constant", "milestones": [0, 1.0]}, None),
        ("methods/edm", {"schedule": "constant", "milestones": [0.5]}, "training.milestones, which are shares of all"),
        ("methods/ict", {"schedule": "constant"}, "the curriculum of ICT"),
        ("methods/hkd", {"schedule": "constant", "milestones": []}, "params.lambda1_law anneal"),
        ("methods/regression", {"schedule": "constant", "milestones": []}, None),
    ],
)
def test_a_setting_that_counts_all_steps_is_named(plan, method, training, why):
    found = bound(plan(**training).run("shapes8", method))
    assert found == why or (why and found and found.startswith(why))


def test_a_law_of_hkds_loss_that_runs_over_all_steps_is_named(plan):
    for law, why in (("anneal", "params.lambda1_law anneal"), ("constant", None), ("zero", None)):
        made = plan(params={"lambda1_law": law}, schedule="constant", milestones=[])
        assert bound(made.run("shapes8", "methods/hkd")) == why


def test_at_full_scale_those_rows_begin_anew_whose_sources_have_a_law_over_all_steps():
    made = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), {}, CONFIGS)
    found = {name for name in METHODS if bound(made.run("cifar10", name))}
    assert {name.removeprefix("methods/") for name in found if name.startswith("methods/")} == BOUND_AT_FULL_SCALE
    assert {name for name in found if name.startswith("ablations/")} == {
        name for name in METHODS if name.startswith("ablations/")
    }


def test_keys_that_free_a_method_are_parameters_of_one_that_takes_all_steps():
    taken = [constructor_arguments(target) for target in ("hkd.methods.hkd.HKD",)]
    assert all(FREE.keys() <= arguments.keys() and "total_steps" in arguments for arguments in taken)


def works(plan, method: str, **training):
    return [TRAIN.work(plan(steps=steps, **training), dataset="shapes8", method=method, seed=0) for steps in (8, 16)]


def test_results_of_another_length_are_others_and_their_states_are_the_same(plan):
    short, long = works(plan, "methods/edm", schedule="constant")
    assert short.digest != long.digest and short.states_digest == long.states_digest != short.digest
    (other, _) = works(plan, "methods/edm", schedule="constant", clip=0.5)
    assert other.states_digest != short.states_digest


def test_states_of_a_training_that_counts_all_steps_are_of_one_length(plan):
    short, long = works(plan, "methods/edm")
    assert short.states_digest == short.digest != long.states_digest == long.digest


def test_no_benchmark_gives_its_length_of_training_to_a_row_that_learns_from_nothing(plan):
    assert plan(steps=9).run("shapes8", "methods/regression").training.steps == 9
    with pytest.raises(ConfigError, match=r"training\.steps"):
        plan(steps="nine").run("shapes8", "methods/untrained")
    for path in sorted(CONFIGS.glob("benchmarks/*.yaml")):
        plan_of = Plan.load(str(path), {"source": "mine"}, CONFIGS)
        for dataset in {table.dataset for table in plan_of.tables.values()}:
            idle = [plan_of.run(dataset, f"methods/{name}") for name in ("untrained", "ddim")]
            assert [run.training.steps for run in idle] == [0, 0], path.name
