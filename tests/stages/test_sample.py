"""`hkd sample` makes images from averaged weights, or from those of the last step, each with a file of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hkd import interrupt
from hkd.cli import Commands
from hkd.experiment.build import method as build
from hkd.experiment.record import run_document
from hkd.plan.runs import Plan
from hkd.plan.stages import SAMPLE
from hkd.settings.origins import ConfigError, to_yaml
from hkd.stages import sample
from hkd.store.artifacts import read_arrays, save_weights
from hkd.store.atomic import write_text
from hkd.store.records import read_record
from tests.recorded import record_results
from tests.studies.milestones import DATASET, SHAPE

SMOKE, METHOD = "configs/benchmarks/smoke.yaml", "methods/regression"


@pytest.fixture
def call(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    interrupt.reset()
    commands = Commands()
    sample.register(commands)
    fixed = ["--device", "cpu", "--benchmark", SMOKE, "--config", f"results={tmp_path}/results"]
    return lambda *words: CliRunner().invoke(commands.app, ["sample", *words, *fixed])


@pytest.fixture
def plan(call, tmp_path) -> Plan:
    """The plan of a training that is finished."""
    plan = Plan.load(SMOKE, {"results": f"{tmp_path}/results"})
    run, files = plan.run(DATASET, METHOD), plan.layout.run(DATASET, METHOD, 0)
    write_text(files.config, to_yaml(run_document(run, SHAPE, dataset=DATASET, method=METHOD, seed=0)))
    for path, seed in ((files.weights, 1), (files.raw, 2)):
        save_weights(path, build(run, SHAPE, seed=seed, parts=None).artefact())
    record_results(plan)
    return plan


def test_images_of_raw_weights_lie_beside_those_of_averaged_ones(call, plan):
    of = {"dataset": DATASET, "method": METHOD, "seed": 0, "nfe": 1}
    found, records = {}, {}
    for weights in ("ema", "raw"):
        result = call(DATASET, METHOD, "--nfe", "1", "--weights", weights)
        assert result.exit_code == 0, str(result.exception)
        work = SAMPLE.work(plan, **of, **({"weights": "raw"} if weights == "raw" else {}))
        found[weights], records[weights] = (
            read_arrays(work.out(), "sample")["images"],
            read_record(work.out(), "sample"),
        )
        assert records[weights]["settings_digest"] == work.definition.settings_digest
    assert len(found["ema"]) == len(found["raw"]) and not np.array_equal(found["ema"], found["raw"])
    ema, raw = records["ema"], records["raw"]
    assert raw["settings"] == ema["settings"] | {"weights": "raw"} and raw["of"] == ema["of"] | {"weights": "raw"}
    assert "weights" not in ema["settings"]
    used = [[Path(path).name for path in record["inputs"]] for record in (ema, raw)]
    assert used == [["weights.safetensors", "config.yaml"], ["raw.safetensors", "config.yaml"]]


def test_of_shipped_weights_there_are_no_raw_ones(call, monkeypatch):
    monkeypatch.setattr(Plan, "shipped", lambda self, dataset, method: "edm-shapes")
    with pytest.raises(ConfigError, match=r"^--weights raw: the shipped weights edm-shapes .* are averaged; train it"):
        raise call(DATASET, METHOD, "--nfe", "1", "--weights", "raw").exception
