"""`hkd budget-curve` and `hkd budget`: one-step images at every milestone, and what all of it cost."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from hkd.cli import Commands
from hkd.experiment.quality import MilestoneQuality
from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.store.artifacts import read_arrays
from hkd.store.atomic import write_json
from hkd.studies.budget import command
from hkd.studies.budget import plan as budgets
from hkd.training.milestones import weights_name
from tests.recorded import record_results
from tests.studies.milestones import DATASET, finished_run, record_cost

SMOKE, METHOD, SEED = "configs/benchmarks/smoke.yaml", "budget/regression", 1
EVALUATIONS = 64  # of every training of the smoke benchmark


@pytest.fixture
def plan(root, tmp_path, monkeypatch) -> Plan:
    monkeypatch.chdir(root)
    return Plan.load(SMOKE, {"results": f"{tmp_path}/results"})


@pytest.fixture
def call(tmp_path):
    """Call a command of the study on the smoke benchmark."""
    commands = Commands()
    command.register(commands)
    options = ["--benchmark", SMOKE, "--config", f"results={tmp_path}/results"]
    return lambda *words: CliRunner().invoke(commands.app, [*words, *options])


def test_a_curve_is_of_images_in_one_step_at_the_size_of_the_study(call, plan, images, perceptual):
    files = finished_run(plan, METHOD, SEED, [1, 8], images, perceptual)
    result = call("budget-curve", DATASET, METHOD, "--seed", str(SEED), "--device", "cpu")
    assert result.exit_code == 0, result.exception
    found = json.loads(Path(budgets.curve(plan, METHOD, SEED)).read_text())
    facts = {"method": METHOD, "seed": SEED, "n": 96, "steps": 8, "parameters": 7}
    assert {key: found[key] for key in facts} == facts
    reference = read_arrays(plan.layout.reference(DATASET), "reference")["own_A"]
    quality = MilestoneQuality(
        Path(files.config), perceptual, reference, seed=SEED, images=96, batch=32, nfe=1, to=torch.device("cpu")
    )
    expected = [(step, quality.at(Path(files.milestones) / weights_name(step))) for step in (1, 8)]
    assert found["points"] == [{"step": step, "fdn": at.fdn, "fd": at.distance} for step, at in expected]


@pytest.fixture
def measured(plan) -> Plan:
    """Made-up curves of all methods; every training spent what is due, and the set that it reads besides."""
    on = budgets.dataset(plan)
    for name in dict.fromkeys(name for method in budgets.runs(plan) for name in budgets.behind(plan, method).sets):
        write_json(plan.layout.trajectories(on, name).manifest, {"network_evals": 100})
    for method in budgets.runs(plan):
        for base in budgets.behind(plan, method).runs:
            record_cost(plan, plan.base_weights(on, base), network_evals=1000)
        spend(plan, method, EVALUATIONS)
        curve = {"method": method, "seed": 0, "n": 96, "steps": 8, "parameters": 7}
        points = [{"step": step, "fdn": 100.0 / step, "fd": 1.0} for step in (4, 8)]
        write_json(budgets.curve(plan, method, 0), {**curve, "points": points})
    record_results(plan)
    return plan


def spend(plan: Plan, method: str, evaluations: int) -> None:
    """Write the record of a training that spent so much, and the set that it reads besides."""
    on = budgets.dataset(plan)
    pairs = 100 if plan.run(on, method).feed.startswith("trajectories/") else 0
    record_cost(plan, plan.layout.run(on, method, 0).weights, network_evals=evaluations + pairs)


def test_the_table_counts_all_that_stands_behind_a_method_once(call, measured, tmp_path):
    result = call("budget", "--out", str(tmp_path / "budget.pdf"))
    assert result.exit_code == 0, result.exception
    with (tmp_path / "results/budget.csv").open(newline="") as file:
        rows = {(row["method"], row["step"]): row for row in csv.DictReader(file)}
    assert len(rows) == 2 * len(budgets.runs(measured))
    last = rows["budget/rf3", "8"]  # three flows, two sets of theirs, and its own
    costs = {"own_evaluations": 64, "pair_evaluations": 300, "base_evaluations": 3 * (1000 - 100) + 100}
    assert {key: int(last[key]) for key in costs} == costs
    assert int(rows["budget/rf3", "4"]["own_evaluations"]) == 32
    assert int(rows["budget/ct", "8"]["total_evaluations"]) == 64
    assert all((tmp_path / f"budget.{kind}").stat().st_size > 500 for kind in ("pdf", "png", "md"))


def test_a_training_that_spent_more_than_the_others_is_refused(call, measured, tmp_path):
    spend(measured, "budget/cd", EVALUATIONS + 8)
    with pytest.raises(ConfigError, match="budget/cd spends 72 evaluations where evaluations = 64 are due"):
        raise call("budget", "--out", str(tmp_path / "budget.pdf")).exception


def test_a_released_base_has_no_known_cost(call, measured, tmp_path):
    base = budgets.behind(measured, METHOD).runs[0]
    record_cost(measured, measured.base_weights(budgets.dataset(measured), base), network_evals=None)
    with pytest.raises(ConfigError, match=f"{base}: what released weights cost is not known, and this study counts it"):
        raise call("budget", "--out", str(tmp_path / "budget.pdf")).exception
