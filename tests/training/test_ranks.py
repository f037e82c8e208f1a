"""Processes that train together: as one process would, whoever stops or dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from hkd.settings.origins import ConfigError
from hkd.training.ranks import Ranks, of_environment

TOGETHER = Path(__file__).with_name("together.py")


def start(folder: Path, processes: int, *arguments: object) -> subprocess.Popen[str]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TOGETHER.parents[2])}
    command = [*launch, str(TOGETHER), str(folder), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def finish(process: subprocess.Popen[str], seconds: float = 240) -> str:
    try:
        return process.communicate(timeout=seconds)[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "weights.pt", weights_only=True)


@pytest.mark.slow
@pytest.mark.ci
def test_two_processes_train_as_one_with_all_its_images(tmp_path):
    """Five steps of clipped Adam on 16 images, at once, in parts, and as 2 x 2 x 4; one of them is not finite."""
    runs = {"alone": (1, 16), "parts": (1, 4), "together": (2, 4)}
    for name, (processes, micro) in runs.items():
        process = start(tmp_path / name, processes, 5, micro)
        told = finish(process)
        assert process.returncode == 0, told
    alone = weights(tmp_path / "alone")
    for name in ("parts", "together"):
        found = weights(tmp_path / name)
        assert found.keys() == alone.keys()
        for key, value in alone.items():
            assert_close(found[key], value, rtol=1e-4, atol=1e-6, msg=key)
    notes = [json.loads((tmp_path / name / "progress.json").read_text()) for name in runs]
    assert notes[0] == notes[1] == notes[2] and notes[0]["network_evals"] == 5 * 16 and notes[0]["nonfinite"] == [2]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["terminated", pytest.param("one killed", marks=pytest.mark.ci)])
def test_a_training_goes_on_on_another_number_of_processes(tmp_path, how):
    whole = start(tmp_path / "whole", 1, 40, 16)
    assert whole.wait(240) == 0
    first = start(tmp_path / "cut", 2, 40, 4, 0.2)
    deadline = time.monotonic() + 120
    while not (steps := list((tmp_path / "cut").glob("step*.safetensors"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert steps, finish(first)
    if how == "terminated":
        os.kill(first.pid, signal.SIGTERM)  # as a scheduler does to what it started
    else:
        os.kill(int((tmp_path / "cut" / "rank1.pid").read_text()), signal.SIGKILL)
    said = finish(first)
    if how == "one killed":  # the other one ends in a line, and saves no less than what was saved
        assert "Lost: process 0 of 2: another process of this training has gone" in said
    assert first.returncode != 0 and not (tmp_path / "cut" / "weights.pt").exists()
    second = start(tmp_path / "cut", 1, 40, 16)
    told = finish(second)
    assert second.returncode == 0 and "going on from step" in told, told
    for key, value in weights(tmp_path / "whole").items():
        assert_close(weights(tmp_path / "cut")[key], value, rtol=1e-3, atol=1e-5, msg=key)


@pytest.mark.slow
@pytest.mark.ci
def test_a_batch_that_the_processes_cannot_share_is_refused_in_one_line(tmp_path):
    process = start(tmp_path, 3, 1, 16)
    told = finish(process)
    assert process.returncode != 0
    assert "training.batch 16 does not divide into equal shares of 3 processes; start 2" in told


def test_a_process_is_named_by_torchrun(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    alone = of_environment()
    assert (alone.rank, alone.size, alone.first) == (0, 1, True)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (of_environment().rank, of_environment().size, of_environment().first) == (1, 4, False)
    for rank in ("4", "", "x", "-1"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(ConfigError, match=f"RANK '{rank}', WORLD_SIZE '4': no process of several"):
            of_environment()


def test_alone_nothing_is_exchanged():
    value = torch.ones(2)
    Ranks().add_up([value], Ranks().flat([value]))
    assert Ranks().any(True, False) == [True, False] and torch.equal(value, torch.ones(2))
