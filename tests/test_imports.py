"""What starts in a moment must load none of the libraries that take seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = {"torch", "torchvision", "sklearn", "matplotlib", "scipy", "lpips"}
READERS = {"yaml", "pydantic", "numpy", "pandas", "snakemake"}  # of settings and results, needless for a list


def loaded(*arguments: str, cwd) -> set[str]:
    """Top-level names of everything that a Python command imports."""
    ran = subprocess.run([sys.executable, "-X", "importtime", *arguments], cwd=cwd, capture_output=True, text=True)
    lines = [line for line in ran.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 20, ran.stderr
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "hkd", "--help"),
        ("-c", "import hkd.plan.runs, hkd.workflow, hkd.store.shipped"),
        ("-m", "hkd", "config", "show", "methods/ecm"),
        ("-m", "hkd", "config", "tables", "--benchmark", "configs/benchmarks/smoke.yaml"),
        ("-m", "hkd", "table", "table1", "--config", "results=no-such-folder"),
        ("-c", "import hkd.report.tables, hkd.report.terminal, hkd.report.view"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_command_without_tensors_loads_no_slow_library(arguments, root):
    names = loaded(*arguments, cwd=root)
    assert "hkd" in names
    assert not names & SLOW


def test_the_list_of_commands_reads_no_settings(root):
    names = loaded("-m", "hkd", "--help", cwd=root)
    assert "typer" in names and not names & (SLOW | READERS)


@pytest.mark.parametrize("package", ["plan", "settings", "store"])
def test_what_describes_and_finds_results_loads_no_tensors(package, root):
    modules = sorted(path.stem for path in (root / "hkd" / package).glob("*.py") if path.stem != "__init__")
    code = "import " + ", ".join(f"hkd.{package}.{name}" for name in modules)
    assert modules and "hkd" in loaded("-c", code, cwd=root)
    assert not loaded("-c", code, cwd=root) & {"torch", "torchvision"}


OWN_PATH = """
import numpy as np, hkd.metrics.features.inception, hkd.metrics.features.vit
from hkd.metrics.features.extract import FunctionExtractor
from hkd.metrics.measure import measure, reference_arrays
def layers(levels):
    rows = levels[:, :, :2, :2].flatten(1)
    return {"features": rows, "logits": rows / 99, "spatial": rows}
eyes = {"own": FunctionExtractor("FD-pixels", 9, 12, "d" * 64, lambda x: layers(x)["features"], further=layers)}
images = np.random.default_rng(0).integers(0, 256, (2, 40, 3, 8, 8), dtype=np.uint8)
names = ["fid_own", "fdn", "sfid", "inception_score", "kid", "precision", "fid_dgm_eval", "fid_torchmetrics", "fid_edm"]
measure(images[0], reference_arrays(images[1], eyes, names), eyes, names)
"""


def test_from_images_to_scores_our_own_path_needs_no_library_of_networks_or_metrics(root):
    names = loaded("-c", OWN_PATH, cwd=root)
    assert {"hkd", "torch", "scipy"} <= names
    assert not names & {"torchvision", "torch_fidelity", "cleanfid", "pytorch_fid", "lpips", "sklearn", "matplotlib"}


def test_snakemake_parses_the_rules_without_slow_libraries(root):
    code = "import sys, hkd.plan.runs, hkd.workflow; from pathlib import Path\n"
    code += "plan = hkd.plan.runs.Plan.load('configs/benchmarks/embedded.yaml')\n"
    code += "from hkd.plan import rows; from hkd.plan.stages import TABLE, TRAIN\n"
    code += "[(rows.metrics(plan, t), TABLE.work(plan, table=t).digest) for t in plan.tables]\n"
    code += "TRAIN.work(plan, dataset='shapes16', method='methods/hkd', seed=0).digest; hkd.workflow.environment(plan)"
    assert not loaded("-c", code, cwd=root) & (SLOW | {"pandas"})


def test_numbers_are_made_of_features_without_torch(root):
    code = "import hkd.cli, hkd.plan.scores, hkd.metrics.schema, hkd.metrics.scoring"
    assert not loaded("-c", code, cwd=root) & {"torch", "torchvision"}


def test_shipped_weights_are_read_and_written_and_sets_listed_without_torch(root):
    code = """
import hkd.data.image_shape, hkd.data.shards, hkd.experiment.record, hkd.training.milestones
import pathlib, tempfile
from hkd.store.artifacts import save_weight_arrays
from hkd.store.shipped import shipped_weights
with tempfile.TemporaryDirectory() as folder:
    save_weight_arrays(pathlib.Path(folder, "weights.safetensors"), shipped_weights("ecm-shapes16")[0])
"""
    assert not loaded("-c", code, cwd=root) & {"torch", "torchvision"}


def test_adopting_shipped_weights_loads_no_compiler(root, tmp_path):
    names = loaded("-m", "hkd", "train", "shapes16", "shipped/ecm", "--config", f"results={tmp_path}", cwd=root)
    assert "torch" in names and "sympy" not in names, "torch's compiler loads it"


def test_sampling_and_a_training_step_load_no_compiler(root):
    code = """
import sys, torch
from hkd.settings.sections import Optimizer
from hkd.training.optim import Adaptive
import hkd.experiment.build, hkd.training.loop
for name in ("adam", "adamw", "radam"):
    weight = torch.ones(2, requires_grad=True)
    settings = Optimizer(name=name, lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)
    optim = Adaptive(settings, [{"params": [weight]}])
    weight.sin().sum().backward()
    optim.step()
    optim.zero_grad()
print(*sorted(sys.modules))
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "hkd.training.loop" in ran.stdout.split()
    assert "torch._dynamo" not in ran.stdout.split()
