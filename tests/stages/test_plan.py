"""`hkd plan` from the command line: what it prints and writes, without torch, and what it refuses."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hkd.cli import commands
from hkd.report.markdown import WIDTH
from hkd.settings.origins import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def plan(*arguments: str):
    return CliRunner().invoke(commands("plan"), ["plan", *arguments])


def test_a_benchmark_whose_counts_are_kept_is_planned_without_torch(tmp_path):
    code = (
        "import sys; from hkd.__main__ import main\ntry:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    )
    asked = ["--benchmark", "configs/benchmarks/cifar10_cheap.yaml", "--card", "h100", "--gpus", "8", "--anew"]
    asked += ["--config", f"results={tmp_path}/r", "--out", str(tmp_path / "plan.csv")]
    command = [sys.executable, "-c", code, "plan", *asked]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "cifar10_cheap on 8 of h100: train in tf32 at 197.9 TFLOP/s" in done.stdout
    assert "assumed, of no measurement" in done.stdout
    assert "\n213 jobs" in done.stdout
    with open(tmp_path / "plan.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    hours = [float(row["hours"]) for row in rows]
    assert hours == sorted(hours, reverse=True)
    by = {row["of"]: row for row in rows}
    assert by["cifar10/methods/edm"]["released_weights"] == "edm-cifar10-32x32-uncond-vp.pkl"
    assert float(by["cifar10/trajectories/edm-heun"]["disk_GB"]) == pytest.approx(5.84, abs=0.1)


def test_one_result_is_planned_by_itself_and_as_a_page(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    page = tmp_path / "plan.md"
    target = f"{tmp_path}/r/shapes16/methods/hkd/seed0/metrics/nfe1.json"
    found = plan(target, "--card", "a100", "--mfu", "0.3", "--config", f"results={tmp_path}/r", "--out", str(page))
    assert found.exit_code == 0, found.output
    assert page.read_text() == found.stdout
    assert "30% of the data sheet's peak, given" in found.stdout
    assert max(len(line) for line in page.read_text().splitlines() if line.startswith("|")) <= WIDTH
    assert "| shapes16/methods/hkd " in found.stdout and "methods/cd" not in found.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "say on what: --card h100"),
        (["--card", "h100", "--probe"], "--card and --probe: name one of"),
        (["--probe", "--mfu", "0.5"], "--probe: name one of"),
        (["--card", "h1000"], "--card h1000: is not in the table of cards. Did you mean 'h100'"),
        (["--card", "h100", "--out", "plan.txt"], "--out plan.txt: expected a name that ends in .csv or .md"),
        (["nothing.csv", "--card", "h100"], "nothing.csv: no stage makes this file"),
        (["--card", "v100", "--config", "compute.precision=bf16"], "--card v100: has no bf16"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_line(arguments, why, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = plan(*arguments)
    assert isinstance(found.exception, ConfigError) and str(found.exception).startswith(why)
    assert "\n" not in str(found.exception)


def test_images_of_unknown_size_cannot_be_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    own = ["--benchmark", "configs/benchmarks/own.yaml", "--card", "h100", "--config", f"results={tmp_path}/r"]
    assert str(plan(*own).exception).startswith("data set 'images': its resolution is not set")


def test_a_cpu_is_probed_with_whole_batches_where_they_are_small(monkeypatch, smoke_plan):
    from hkd.experiment import probing
    from hkd.experiment.counting import counts

    plan = smoke_plan(set={"training": {"batch": 6}, "network": {"model_channels": 8, "channel_mult": [1]}})
    monkeypatch.setattr(probing, "_timed", lambda work: 1.0)  # seconds
    cost, images = counts(plan, "shapes8", "methods/ecm"), plan.run("shapes8", "methods/ecm").sampling.batch
    assert probing._run_rates(plan, "shapes8", "methods/ecm") == (6 * cost.step, images * cost.forward)
    monkeypatch.setattr(probing, "OPERATIONS", 3 * cost.step)
    assert probing._run_rates(plan, "shapes8", "methods/ecm")[0] == 3 * cost.step


def test_a_forked_job_starts_without_the_libraries():
    from hkd.plan.speed import of_thread, thread

    known = thread(ROOT / "configs")
    starts = [of_thread(ROOT / "configs", forked=forked).startup for forked in (True, False)]
    assert starts == [known.forked, known.startup] and 10 * known.forked < known.startup


@pytest.mark.slow
@pytest.mark.ci
def test_a_cpu_is_probed_in_less_than_a_minute_of_its_time(smoke_plan):
    import time

    from hkd.experiment.probing import probed

    begun = time.process_time()
    runs = [("shapes8", f"methods/{name}") for name in ("edm", "ecm", "hkd", "regression")]
    speed = probed(smoke_plan(fork_server=False), runs)
    assert time.process_time() - begun < 60
    assert all(rate > 1e7 for rate in speed.rates.values()) and 0.5 < speed.startup < 60
    assert "probed on methods/edm" in speed.said
