"""The study from the weights of a base, or of a file in EDM's layout, to its table, by its commands."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from hkd import interrupt
from hkd.cli import Commands
from hkd.experiment.build import method as build
from hkd.experiment.extractors import trained_extractor
from hkd.experiment.record import run_document
from hkd.metrics.features.extract import extract
from hkd.plan.runs import Plan
from hkd.settings.origins import to_yaml
from hkd.store.artifacts import save_weights
from hkd.store.atomic import write_text
from hkd.studies.fingerprint import command
from hkd.studies.fingerprint.readings import weights_of_run
from tests.koopman.networks import moved
from tests.recorded import record_results
from tests.studies.milestones import DATASET, SHAPE

SMOKE = "configs/benchmarks/smoke.yaml"


@pytest.fixture
def plan(root, tmp_path, monkeypatch, images, perceptual) -> Plan:
    """A base, a metric network, images and a reference below the results folder."""
    monkeypatch.chdir(root)
    interrupt.reset()
    made = Plan.load(SMOKE, {"results": f"{tmp_path}/results"})
    run, files = made.run(DATASET, "methods/edm"), made.layout.run(DATASET, "methods/edm", 0)
    document = run_document(run, SHAPE, dataset=DATASET, method="methods/edm", seed=0)
    write_text(files.config, to_yaml(document))
    save_weights(files.weights, moved(build(run, SHAPE, seed=0, parts=None)).artefact())
    network, reference = Path(made.layout.extractor(DATASET, "metric")), Path(made.layout.reference(DATASET))
    network.parent.mkdir(parents=True)
    shutil.copyfile(perceptual, network)
    shutil.copytree(images, made.layout.data(DATASET, "train"))
    reference.parent.mkdir(parents=True)
    np.savez(reference, own_A=extract(np.load(images / "images.npy"), trained_extractor(network, "cpu"), "A"))
    record_results(made)
    return made


@pytest.fixture
def call(tmp_path):
    commands = Commands()
    command.register(commands)
    keys = {
        "results": f"{tmp_path}/results",
        "studies.fingerprint.images": "6",
        "studies.fingerprint.operator_init": "[0.0]",
    }
    own = [word for key, value in keys.items() for word in ("--config", f"{key}={value}")]
    return lambda *words: CliRunner().invoke(commands.app, [*words, "--benchmark", SMOKE, *own])


def test_from_the_base_to_the_table(call, plan, tmp_path):
    for words in (["readings", "--device", "cpu"], ["fingerprint"]):
        result = call(*words)
        assert result.exit_code == 0, result.exception
    assert "which of them has that score is not measured" in result.output
    with (tmp_path / "results/fingerprint.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 3 and rows[0]["order"] == "1" and rows[0]["printed_before"] == "447.13"
    assert not list((tmp_path / "results").glob("fingerprint.parts/*.npz")), "the parts of finished work are dropped"


def test_a_file_in_edms_layout_scores_as_the_run_that_it_was_taken_from(call, plan, tmp_path):
    assert call("readings", "--device", "cpu").exit_code == 0
    own = json.loads((tmp_path / "results/fingerprint.json").read_text())
    released = tmp_path / "edm.safetensors"
    save_file(weights_of_run(Path(plan.layout.run(DATASET, "methods/edm", 0).weights)), released)
    result = call("readings", "--device", "cpu", "--config", f"studies.fingerprint.weights={released}")
    assert result.exit_code == 0, result.exception
    assert json.loads((tmp_path / "results/fingerprint.json").read_text()) == own


def test_a_stopped_measurement_goes_on_with_the_readings_that_are_left(call, plan, monkeypatch):
    from hkd.studies.fingerprint import readings

    scored, score = [], readings.score

    def stopping(reading, *args, **kwargs):
        scored.append(reading)
        found = score(reading, *args, **kwargs)
        if len(scored) == 2:
            interrupt.ask()
        return found

    monkeypatch.setattr(readings, "score", stopping)
    with pytest.raises(interrupt.Interrupted):
        call("readings", "--device", "cpu")
    interrupt.reset()
    assert call("readings", "--device", "cpu").exit_code == 0
    assert len(scored) == 6 == len(set(scored))
