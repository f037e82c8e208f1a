"""Jobs side by side on one machine: each takes a device of its own, none is shared, a killed job frees its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hkd import devices, workflow

HOLD = "import os, time\nfrom hkd import devices\ndevices.claim()\n"
HOLD += "print(os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True)\ntime.sleep(60)"


@pytest.fixture
def holder(tmp_path):
    """Start a process that takes devices of two; return it and what it sees, or None when it waits."""
    started = []

    def start(gpus: int = 1, waits: bool = False) -> tuple[subprocess.Popen[str], str | None]:
        environment = {**os.environ, "HKD_DEVICES": "0,1", "HKD_GPUS": str(gpus), "TMPDIR": str(tmp_path)}
        errors = (tmp_path / f"errors{len(started)}").open("w+")
        started.append(
            subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=-1, stderr=errors, text=True)
        )
        if waits:
            end = time.monotonic() + 20
            while "waiting for a free device of 0,1" not in (tmp_path / f"errors{len(started) - 1}").read_text():
                assert time.monotonic() < end and started[-1].poll() is None
                time.sleep(0.05)
            return started[-1], None
        return started[-1], started[-1].stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_two_jobs_see_a_device_each_and_a_third_waits_for_the_one_that_is_killed(holder):
    (first, one), (_, two) = holder(), holder()
    assert {one, two} == {"0", "1"}
    third, _ = holder(waits=True)
    first.send_signal(signal.SIGKILL)
    assert third.stdout.readline().strip() == one


def test_a_training_of_two_ranks_takes_both(holder):
    _, both = holder(gpus=2)
    assert both == "0,1"
    holder(waits=True)


def test_more_devices_than_there_are_is_one_line(monkeypatch):
    monkeypatch.setenv("HKD_DEVICES", "0")
    monkeypatch.setenv("HKD_GPUS", "2")
    with pytest.raises(ValueError, match="HKD_DEVICES=0: a job asks for 2"):
        devices.claim()


def test_jobs_are_told_the_devices_of_the_machine_and_slurm_tells_its_own(monkeypatch, tmp_path, smoke_plan):
    monkeypatch.setattr(workflow, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "none")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("HKD_DEVICES", "0,1")

    def told(gpus: int) -> str:
        return Path(workflow.environment(smoke_plan(gpus=gpus))).read_text()

    assert "export HKD_DEVICES=0,1\nexport HKD_GPUS=1\n" in told(1)
    assert "HKD_DEVICES" not in told(0) and "HKD_DEVICE=cpu" in told(0)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert "HKD_DEVICES" not in told(1)
    monkeypatch.delenv("SLURM_JOB_ID")
    monkeypatch.delenv("HKD_DEVICES")
    assert devices.present() == ""
    for name in ("none/0000:01", "none/0000:02"):
        (tmp_path / name).mkdir(parents=True)
    assert devices.present() == "0,1"


@pytest.mark.slow
@pytest.mark.ci
def test_two_trainings_at_once_on_two_pretend_devices(new_workflow, monkeypatch, tmp_path):
    monkeypatch.setenv("HKD_DEVICES", "0,1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    runs = new_workflow()
    methods = [runs.results / f"shapes8/methods/{name}/seed0" for name in ("edm", "edm_ve")]
    targets = [str((run / "weights.safetensors").relative_to(runs.folder)) for run in methods]
    longer = "set={training: {steps: 1500}}"
    options = ("--workflow-profile", "profiles/gpu", "--config", "gpus=1", longer)
    process = runs.start(*targets, options=options)
    assert process.wait(900) == 0, runs.log()[-3000:]
    records = [json.loads((run / "weights.safetensors.record.json").read_text()) for run in methods]
    assert sorted(record["visible_devices"] for record in records) == ["0", "1"]
