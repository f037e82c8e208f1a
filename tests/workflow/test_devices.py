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
from snakemake.exceptions import WorkflowError

from hkd import devices, job, workflow
from hkd.settings.origins import ConfigError

HOLD = "import os, pathlib, time\nfrom hkd import devices\n"
HOLD += "devices.LOCKS = pathlib.Path(os.environ['LOCKS'])\ndevices.claim()\n"
HOLD += "print(os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True)\ntime.sleep(60)"


@pytest.fixture
def holder(tmp_path):
    """Start a process that takes devices of two; return it and what it sees, or None when it waits."""
    started = []

    def start(gpus: int = 1, waits: bool = False) -> tuple[subprocess.Popen[str], str | None]:
        environment = {**os.environ, "HKD_DEVICES": "0,1", "HKD_GPUS": str(gpus), "LOCKS": str(tmp_path)}
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


IN_STEP = """
import os, pathlib, sys, time
from hkd import devices
devices.LOCKS, take = pathlib.Path(os.environ["LOCKS"]), devices._take
devices._take = lambda device: (take(device), time.sleep(0.2))
print("ready", flush=True)
sys.stdin.readline()
devices.claim()
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
"""


def test_two_jobs_of_two_devices_do_not_keep_each_other_from_both_for_ever(tmp_path):
    """Each begins with the device that the other takes second, at the same moment."""
    jobs = []
    for listed in ("0,1", "1,0"):
        environment = {**os.environ, "HKD_DEVICES": listed, "HKD_GPUS": "2", "LOCKS": str(tmp_path)}
        options = {"stdin": -1, "stdout": -1, "stderr": subprocess.DEVNULL, "text": True}
        jobs.append(subprocess.Popen([sys.executable, "-c", IN_STEP], env=environment, **options))
    try:
        assert [process.stdout.readline() for process in jobs] == ["ready\n"] * 2
        for process in jobs:
            process.stdin.write("\n")
            process.stdin.flush()
        assert {process.communicate(timeout=20)[0] for process in jobs} == {"0,1\n", "1,0\n"}
    finally:
        for process in jobs:
            process.kill()
            process.wait()


def test_whose_turn_it_is_not_takes_no_device(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "LOCKS", tmp_path)
    monkeypatch.setattr(devices, "POLL", 0.05)
    with devices._turn() as mine:
        assert mine and not devices._take_all(["0", "1"], 2)
        assert not devices.claimed() and os.listdir(tmp_path) == ["hkd-devices.lock"]
        monkeypatch.setattr(devices.interrupt, "check", lambda: (_ for _ in ()).throw(devices.interrupt.Interrupted))
        with pytest.raises(devices.interrupt.Interrupted):
            devices._take_all(["0", "1"], 2)
    assert devices._take_all(["0", "1"], 2) and devices.claimed()
    devices.release()
    assert (tmp_path / "hkd-devices.lock").stat().st_mode & 0o777 == 0o666


def machine(folder: Path, count: int) -> Path:
    """What the driver of a machine says of its devices."""
    for number in range(count):
        (folder / f"0000:0{number}").mkdir(parents=True)
        (folder / f"0000:0{number}/information").write_text(f"Model: \t X\nGPU UUID: \t GPU-ab{number}\n")
    return folder


@pytest.mark.parametrize(
    ("listed", "most", "said"),
    [
        ("0,0", 2, "HKD_DEVICES=0,0: 0 stands there twice"),
        (" , ", 1, "names no device"),
        ("99", 1, "no device 99 here, which has 0 to 1"),
        ("GPU-cd", 1, "no device GPU-cd here"),
        ("0", 2, "HKD_DEVICES=0: a job takes 2 devices; .*gpus=1"),
    ],
)
def test_a_wrong_list_of_devices_is_one_line(monkeypatch, tmp_path, listed, most, said):
    monkeypatch.setattr(devices, "DRIVER", machine(tmp_path, 2))
    monkeypatch.setattr(devices, "LOCKS", tmp_path)
    monkeypatch.setenv("HKD_DEVICES", listed)
    monkeypatch.setenv("HKD_GPUS", str(most))
    with pytest.raises(ValueError, match=said):
        devices.claim()
    assert not devices.claimed()
    assert devices.check("1, 0", 2) == ["1", "0"] and devices.check("GPU-ab1,MIG-x", 2) == ["GPU-ab1", "MIG-x"]


def test_a_lock_opens_for_another_user_whatever_the_umask_is(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "LOCKS", tmp_path)
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "none")
    monkeypatch.setenv("HKD_DEVICES", "7")
    monkeypatch.setenv("HKD_GPUS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    before = os.umask(0o077)
    try:
        devices.claim()
    finally:
        os.umask(before)
        devices.release()
    assert (tmp_path / "hkd-device-7.lock").stat().st_mode & 0o777 == 0o666

    def refused(path: Path) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(devices.interrupt, "lock_file", refused)
    with pytest.raises(ValueError, match=r"hkd-devices\.lock: another user's.*deleted by its owner"):
        devices.claim()


@pytest.fixture
def told(monkeypatch, tmp_path, smoke_plan):
    """Return what the jobs of a machine without a driver are told."""
    monkeypatch.setattr(workflow, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "none")
    for name in ("CUDA_VISIBLE_DEVICES", "HKD_DEVICES", "HKD_DEVICE", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    return lambda gpus, **where: Path(workflow.environment(smoke_plan(gpus=gpus), **where)).read_text()


def test_jobs_of_this_machine_are_told_its_devices_also_within_an_allocation(monkeypatch, tmp_path, told):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert "export HKD_DEVICES=2,3\nexport HKD_GPUS=1\n" in told(1)
    monkeypatch.setenv("HKD_DEVICES", "0,1")
    assert "export HKD_DEVICES=0,1\nexport HKD_GPUS=1\n" in told(1)
    assert "HKD_DEVICES" not in told(0) and "HKD_DEVICE=cpu" in told(0)
    monkeypatch.delenv("HKD_DEVICES")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert devices.present() == ""
    machine(tmp_path / "none", 2)
    assert devices.present() == "0,1"


def test_a_submitted_job_takes_none_of_the_devices_that_its_user_listed(monkeypatch, told):
    monkeypatch.setenv("HKD_DEVICES", "0,1")
    file = told(1, remote=True)
    assert "export HKD_DEVICES" not in file
    left = subprocess.run(["sh", "-c", f'{file}\necho "<$HKD_DEVICES$HKD_GPUS>"'], capture_output=True, text=True)
    assert left.stdout == "<>\n"


def test_jobs_that_were_submitted_as_one_group_share_out_the_devices_of_their_allocation(monkeypatch, told):
    monkeypatch.setenv("HKD_DEVICES", "6,7,8")  # of where they were submitted
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert "export HKD_DEVICES=0,1\nexport HKD_GPUS=1\n" in told(1, remote=True)
    assert "export HKD_DEVICES" not in told(0, remote=True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert "export HKD_DEVICES" not in told(1, remote=True), "one needs no sharing"


def test_two_jobs_of_slurm_may_call_two_devices_by_one_number(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "LOCKS", tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    other = devices._opened(tmp_path / "hkd-device-8-0.lock")
    outside = devices._opened(tmp_path / "hkd-device-0.lock")
    try:
        assert devices._locked(other) and devices._locked(outside)
        assert devices._take_all(["0"], 1), "others hold devices that they call so"
        assert (tmp_path / "hkd-device-7-0.lock").exists()
    finally:
        devices.release()
        os.close(other), os.close(outside)


def test_a_wrong_list_is_refused_when_jobs_are_planned_unless_they_are_submitted(monkeypatch, told):
    monkeypatch.setenv("HKD_DEVICES", "0")
    assert "HKD_DEVICES=0\n" in told(1)
    assert "HKD_DEVICES=0\n" in told(2), "one keeps the wall time of every training"
    monkeypatch.setattr(workflow, "most_processes", lambda plan: plan.benchmark.gpus)
    with pytest.raises(WorkflowError, match="a job takes 2 devices"):
        told(2)
    assert told(2, submits=True) and told(2, remote=True)
    monkeypatch.delenv("HKD_DEVICES")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,3")
    with pytest.raises(WorkflowError, match="CUDA_VISIBLE_DEVICES=3,3: 3 stands there twice"):
        told(1)


def test_a_job_that_asks_for_a_gpu_does_not_do_without(monkeypatch, told):
    assert "export HKD_DEVICE=cuda\n" in told(1) and "export HKD_DEVICE=cuda\n" in told(1, remote=True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"device cuda: no GPU here; .*gpus=0"):
        job.pick_device("cuda")
    monkeypatch.setenv("HKD_DEVICE", "auto")
    assert "export HKD_DEVICE=auto\n" in told(1)


def test_a_training_of_more_processes_than_devices_is_refused(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("HKD_DEVICES", "0")
    with pytest.raises(ConfigError, match="a job takes 2 devices"):
        job.start_together(2, "cuda")


@pytest.mark.slow
@pytest.mark.ci
def test_two_trainings_at_once_on_two_pretend_devices(new_workflow, monkeypatch):
    pretend = [f"MIG-{os.getpid()}-{number}" for number in (0, 1)]  # which no other test's locks are of
    monkeypatch.setenv("HKD_DEVICES", ",".join(pretend))
    monkeypatch.setenv("HKD_DEVICE", "auto")
    runs = new_workflow()
    methods = [runs.results / f"shapes8/methods/{name}/seed0" for name in ("edm", "edm_ve")]
    targets = [str((run / "weights.safetensors").relative_to(runs.folder)) for run in methods]
    longer = "set={training: {steps: 1500}}"
    options = ("--workflow-profile", "profiles/gpu", "--config", "gpus=1", longer)
    process = runs.start(*targets, options=options)
    assert process.wait(900) == 0, runs.log()[-3000:]
    records = [json.loads((run / "weights.safetensors.record.json").read_text()) for run in methods]
    assert sorted(record["visible_devices"] for record in records) == pretend
