"""`hkd stability` measures every milestone with the run's own sampling, and goes on where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from hkd import interrupt
from hkd.cli import Commands
from hkd.experiment.quality import MilestoneQuality
from hkd.plan.runs import Plan
from hkd.store.artifacts import read_arrays
from hkd.store.refusals import ArtifactError
from hkd.studies.stability import command
from hkd.training.milestones import kept_milestones, raw_name, weights_name
from tests.studies.milestones import DATASET, finished_run, list_milestones

SMOKE, METHOD, SEED = "configs/benchmarks/smoke.yaml", "methods/regression", 2


@pytest.fixture
def plan(root, tmp_path, monkeypatch) -> Plan:
    monkeypatch.chdir(root)
    interrupt.reset()
    return Plan.load(SMOKE, {"results": f"{tmp_path}/results"})


@pytest.fixture
def call(tmp_path):
    """Call a command of the study on the smoke benchmark."""
    commands = Commands()
    command.register(commands)
    options = ["--benchmark", SMOKE, "--config", f"results={tmp_path}/results"]
    return lambda *words: CliRunner().invoke(commands.app, [*words, *options])


def measure(call, *words):
    return call("stability", DATASET, METHOD, "--seed", str(SEED), "--device", "cpu", *words)


def test_every_milestone_is_measured_at_the_size_of_the_runs_sampling(call, plan, images, perceptual):
    files = finished_run(plan, METHOD, SEED, [0, 4, 8], images, perceptual)
    result = measure(call)
    assert result.exit_code == 0, result.exception
    found = json.loads(Path(files.of("metrics/stability.json")).read_text())
    assert (found["n"], found["total"], found["steps"]) == (96, 8, [0, 4, 8])
    reference = read_arrays(plan.layout.reference(DATASET), "reference")["own_A"]
    quality = MilestoneQuality(
        Path(files.config), perceptual, reference, seed=SEED, images=96, batch=32, nfe=1, to=torch.device("cpu")
    )
    kept = kept_milestones(Path(files.milestones), raw=True)
    expected, raw = ([quality.at(path) for path in paths] for paths in (kept.weights, kept.raw))
    averaged = {"fdn": [e.fdn for e in expected], "fd": [e.distance for e in expected]}
    assert found["metrics"] == averaged
    assert found["raw"] == {"fdn": [e.fdn for e in raw], "fd": [e.distance for e in raw]} != averaged
    record = json.loads(Path(files.of("metrics/stability.json.record.json")).read_text())
    assert record["settings"]["steps"] == [0, 4, 8] and len(record["inputs"]) == 4
    assert not list(Path(files.of("metrics/stability.parts")).glob("*.npz")), "the parts of finished work are dropped"


def test_a_stopped_measurement_goes_on_with_the_milestones_that_are_left(call, plan, images, perceptual, monkeypatch):
    files = finished_run(plan, METHOD, SEED, [0, 8], images, perceptual)
    measured, at = [], MilestoneQuality.at

    def stopping(self, weights):
        measured.append(weights.name)
        found = at(self, weights)
        if len(measured) == 1:
            interrupt.ask()
        return found

    monkeypatch.setattr(MilestoneQuality, "at", stopping)
    with pytest.raises(interrupt.Interrupted):
        measure(call)
    interrupt.reset()
    assert measure(call).exit_code == 0
    assert measured == [name(step) for name in (weights_name, raw_name) for step in (0, 8)]
    assert Path(files.of("metrics/stability.json")).exists()


def test_a_training_without_milestones_is_refused(call, plan, images, perceptual):
    finished_run(plan, METHOD, SEED, [8], images, perceptual)
    list_milestones(plan, METHOD, SEED, [])
    with pytest.raises(ArtifactError, match=r"kept no milestones; set training\.milestones"):
        raise measure(call).exception


def test_the_number_of_images_is_part_of_what_the_workflow_plans(call, plan, images, perceptual):
    finished_run(plan, METHOD, SEED, [8], images, perceptual)
    assert "start snakemake again" in str(measure(call, "--expect-digest", "another").exception)
