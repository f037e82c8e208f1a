"""The GPU tests' own functions, each at a tiny size on the CPU: what can go wrong without a GPU is found here."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from hkd.nets.precond import EDMPrecond
from hkd.seeding import stream
from tests.gpu import probes
from tests.gpu.report import Report
from tests.gpu.trainings import ROOT, training
from tests.nets.test_unet import GOLDEN, fill

CPU = torch.device("cpu")
HIDDEN = (  # what hkd may use and a machine that runs the GPU tests need not have
    "hypothesis pandas scipy lpips tqdm matplotlib seaborn snakemake torchvision cleanfid pytorch_fid torch_fidelity "
    "sklearn xdist pytest_cov"
)
BARE = """
import sys

class Bare:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {hidden} else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Bare(finder) for finder in sys.meta_path]
"""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_arithmetic_is_timed(precision):
    assert 0 < probes.product_tflops(CPU, precision, size=64, rounds=3) < 100
    assert 0 < probes.convolution_tflops(CPU, precision, batch=2, width=8, size=8, rounds=3) < 100


def test_a_published_number_is_met_here():
    assert probes.distance_to_published(CPU, next(name for name in GOLDEN if name.startswith("toy"))) < 1e-4
    assert probes.drawn_apart(CPU) == 0


def test_trajectories_with_and_without_a_switch_are_compared():
    build, *_ = GOLDEN[next(name for name in GOLDEN if name.startswith("toy"))]
    net, calls = fill(EDMPrecond(build())), []
    noise = torch.randn((1, 3, 32, 32), generator=stream(0, "noise"))
    assert probes.trajectories_apart(net, noise, calls.append, steps=2) == 0
    assert calls == [False, True, False]


@pytest.mark.parametrize(
    "spans, share", [([(0, 1), (2, 3)], 0.5), ([(0, 3), (1, 2)], 0.75), ([(0, 2), (1, 4)], 1), ([], 0)]
)
def test_the_busy_share_counts_every_moment_once(spans, share):
    assert probes.busy_share(spans, 4) == share


def test_losses_outside_of_the_seeds_band_are_told_from_those_within():
    exact = [[1.0 + 0.01 * (k % 3) for k in range(60)], [1.02 + 0.01 * (k % 3) for k in range(60)]]
    assert probes.within_the_seeds_band(exact[0], exact, last=50)[0]
    inside, said = probes.within_the_seeds_band([1.2] * 60, exact, last=50)
    assert not inside and said.startswith("1.2 in bfloat16")


@pytest.mark.parametrize("name", ["edm", "hkd"])
def test_a_training_goes_on_in_float32_and_in_bfloat16(name):
    found = []
    for bf16 in (False, True):
        made = training(name, CPU, batch=2, tiny=True, bf16=bf16, batches=2)
        found.append(torch.stack(made.go(3)))
        assert made.step == 3 and bool(torch.isfinite(found[-1]).all())
    assert not torch.equal(*found) and torch.allclose(*found, rtol=0.1)


def test_a_report_is_two_files(tmp_path):
    report = Report(CPU)
    report.note("ms a step", 12.3456789)
    assert [path.name for path in report.write(tmp_path)] == ["probe.json", "table.md"]
    assert json.loads((tmp_path / "probe.json").read_text())["ms a step"] == 12.345679
    assert "| ms a step | 12.345679 |" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
@pytest.mark.ci
def test_without_a_gpu_all_are_skipped_by_name_in_a_bare_environment(tmp_path):
    """Only the packages that the GPU tests ask for can be loaded, and nothing is written."""
    (tmp_path / "bare.py").write_text(BARE.format(hidden=HIDDEN.split()))
    command = [sys.executable, "-m", "pytest", "-p", "bare", "-p", "no:cacheprovider", "-m", "gpu", "-rs"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": f"{tmp_path}:{ROOT}", "CUDA_VISIBLE_DEVICES": "", "HKD_GPU_OUT": str(tmp_path)}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # of the packages that are hidden
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    assert "no GPU here" in ran.stdout and "error" not in ran.stdout.lower()
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".json", ".md")] == []
