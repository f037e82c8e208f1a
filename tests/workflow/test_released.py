"""Released weights in a real run: imported, sampled and measured, beside a student that starts from them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
import torch

from hkd.data.image_shape import ImageShape
from hkd.experiment.build import network
from hkd.plan.runs import Plan
from hkd.store.artifacts import load_weights
from tests.imported.official import snapshot
from tests.imported.test_importing import scattered

pytestmark = [pytest.mark.slow, pytest.mark.ci]


def test_a_snapshot_is_imported_sampled_and_measured(new_workflow, smoke_plan):
    flow = new_workflow()
    torch.manual_seed(0)
    theirs = scattered(network(smoke_plan().run("shapes8", "methods/edm"), ImageShape(8, 3, 0), seed=0))
    (flow.folder / "edm.pkl").write_bytes(snapshot(theirs, img_resolution=8, label_dim=0))
    out = "weights/released/edm.safetensors"
    smoke = ["--benchmark", "configs/benchmarks/smoke.yaml", "--scale", "embedded", "--dataset", "shapes8"]
    command = [sys.executable, "-m", "hkd", "import", "edm.pkl", "methods/edm", "--out", out, *smoke]
    subprocess.run(command, cwd=flow.folder, check=True)
    path = flow.folder / "configs/benchmarks/smoke.yaml"
    released = f"\nreleased: {{shapes8: {{methods/edm: {out}}}}}\n"
    fewer = path.read_text().replace("run: [methods/edm, methods/ecm, methods/hkd]", "run: [methods/edm, methods/ecm]")
    fewer = fewer.replace("extra: [methods/regression, ablations/abl_no_traj]", "extra: []")
    path.write_text(fewer + released)
    flow.run("results/smoke/table1.csv")
    with (flow.results / "table1.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file) if row["fid_own"]}
    assert rows["EDM"]["route"] == "released" and rows["ECM"]["route"] == "train"
    plan = Plan.load(str(path), configs=flow.folder / "configs")
    weights = flow.folder / plan.layout.run("shapes8", "methods/edm", 0).weights
    state = load_weights(weights)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(state[f"student.{name}"], tensor)
    record = json.loads(weights.with_name(weights.name + ".record.json").read_text())
    card = json.loads((flow.folder / out).with_suffix(".json").read_text())
    assert record["route"] == "released" and record["imported"]["sha256"] == card["sha256"]
    assert record["imported"]["source_sha256"] == card["source_sha256"] and record["imported"]["licence"]
    assert record["budget"]["train_images"] is None and record["budget"]["params"] == card["parameters"]
    assert "Nothing to be done" in flow.run("results/smoke/table1.csv")
