"""A stage that is killed at any one of its renames, before or after it, is made whole by the same command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Every file of a stage is renamed into place, so its renames are all the moments at which the disk changes its face
KILLED_AT = """
import os, signal, sys
at, after = int(os.environ["KILL_AT"]), os.environ["KILL_AFTER"] == "1"
rename, done = os.replace, 0

def replace(source, target):
    global done
    done += 1
    if done == at and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
    if done == at:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace
from hkd.__main__ import main
main()
"""

RUN = "shapes8/methods/hkd/seed0"
STAGES = {
    "trajectories": (["trajectories", "shapes8", "edm-heun", "--shard", "1"], "shapes8/trajectories/edm-heun"),
    "manifest": (["trajectories", "shapes8", "edm-heun"], "shapes8/trajectories/edm-heun"),
    "train": (["train", "shapes8", "methods/hkd"], RUN),
    "sample": (["sample", "shapes8", "methods/hkd", "--nfe", "1"], f"{RUN}/samples"),
    "features": (["features", "shapes8", "methods/hkd", "--nfe", "1"], f"{RUN}/features"),
}


@pytest.fixture(scope="module")
def made(finished):
    """A finished run of HKD and all below it."""
    finished.run(f"results/smoke/{RUN}/metrics/nfe1.json")
    return finished


def run(folder: Path, command: list[str], at: int, *, after: bool) -> int:
    """Run a command of the smoke benchmark that is killed at its rename number `at` (0: never)."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "HKD_BENCHMARK": "configs/benchmarks/smoke.yaml",
        "HKD_CHECKPOINT_SECONDS": "1000",
        "OMP_NUM_THREADS": "1",
        "KILL_AT": str(at),
        "KILL_AFTER": str(int(after)),
    }
    return subprocess.run(
        [sys.executable, "-c", KILLED_AT, *command], cwd=folder, env=environment, capture_output=True, timeout=600
    ).returncode


@pytest.mark.parametrize("stage", [pytest.param(s, marks=pytest.mark.ci) if s == "sample" else s for s in STAGES])
def test_a_stage_killed_at_a_rename_ends_in_the_same_bits(made, stage):
    command, place = STAGES[stage]
    expected, outputs = made.contents(), made.results / place
    kept = made.folder / f"kept-{stage}"
    shutil.copytree(outputs, kept)
    at, finished = 1, False
    while not finished:
        shutil.rmtree(outputs)
        shutil.copytree(kept, outputs)
        clear(outputs, stage)
        after = at % 2 == 0
        status = run(made.folder, command, at, after=after)
        finished = status == 0
        assert status in (0, -signal.SIGKILL), f"rename {at}: exit {status}"
        if not finished:
            assert run(made.folder, command, 0, after=False) == 0, f"rename {at}: the same command fails"
        found = made.contents()
        assert [name for name in expected if found.get(name) != expected[name]] == [], f"rename {at}"
        assert not list(outputs.rglob(".*.tmp")), f"rename {at}"
        at += 1
    assert at > 2  # killed at least once


def clear(outputs: Path, stage: str) -> None:
    """Remove what a stage makes, and its training states."""
    patterns = {"trajectories": "shard1.npy*", "manifest": "manifest.json*", "train": "*.safetensors*"}
    for path in list(outputs.glob(patterns.get(stage, "*"))):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(outputs / "checkpoints", ignore_errors=True)
