"""A run that is killed, wherever and however, and started again with the same command, ends in the same results."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RUN = "results/smoke/shapes8/methods"
SOME = (f"{RUN}/hkd/seed0/metrics/nfe1.json", f"{RUN}/ecm/seed0/samples/nfe1.npz")
TABLE = ("results/smoke/table1.csv",)
KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT

# stage (as in the job's command), whom the signal hits, which signal
IN_CI = "group"
PLANS = {
    "parent": [
        ("hkd extractor", "parent", KILL),
        ("hkd train shapes8 methods/edm", "parent", KILL),
        ("hkd trajectories", "parent", KILL),
        ("hkd train shapes8 methods/hkd", "parent", KILL),
        ("hkd sample", "parent", KILL),
        ("hkd metrics", "parent", KILL),
    ],
    "child": [
        ("hkd prepare", "child", KILL),
        ("hkd train shapes8 methods/edm", "child", KILL),
        ("hkd trajectories", "child", TERM),
        ("hkd train shapes8 methods/ecm", "child", KILL),
        ("hkd sample", "child", KILL),
        ("hkd features", "child", INT),
    ],
    "group": [
        ("hkd train shapes8 methods/edm", "group", INT),
        ("hkd trajectories", "group", KILL),
        ("hkd train shapes8 methods/hkd", "group", TERM),
        ("hkd train shapes8 methods/ecm", "parent", TERM),
        ("hkd sample", "group", INT),
        ("hkd reference", "group", KILL),
    ],
}


def processes() -> dict[int, tuple[int, str]]:
    """Every process: its parent and its command."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (OSError, IndexError):
                continue
            found[int(folder.name)] = (parent, command)
    return found


def job(parent: int, stage: str) -> int | None:
    """The process of a stage that Snakemake runs now."""
    everybody = processes()
    for pid, (_, command) in everybody.items():
        if stage in command and "bash" not in command.split(" ")[0]:
            above = pid
            while above in everybody and above != parent:
                above = everybody[above][0]
            if above == parent:
                return pid
    return None


def interrupted(run: subprocess.Popen[str], stage: str, whom: str, number: signal.Signals, delay: float) -> bool:
    """Send a signal some time after a stage has begun; return whether it was met."""
    end = time.monotonic() + 900
    while (pid := job(run.pid, stage)) is None:
        if run.poll() is not None:
            return False
        assert time.monotonic() < end, f"{stage} did not begin"
        time.sleep(0.05)
    time.sleep(delay)
    try:
        if whom == "group":
            os.killpg(run.pid, number)
        else:
            os.kill(run.pid if whom == "parent" else pid, number)
    except ProcessLookupError:
        return False
    run.wait(900)
    return True


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.ci) if n == IN_CI else n for n in PLANS])
def test_killed_at_every_stage_and_started_again_ends_in_the_same_results(finished, new_workflow, name):
    targets = TABLE if name == "parent" else SOME
    broken = new_workflow()
    moments = random.Random(name)
    met = []
    for stage, whom, number in PLANS[name]:
        run = broken.start(*targets)
        if interrupted(run, stage, whom, number, moments.uniform(0.0, 3.0)):
            met.append(stage)
        run.wait(900)
    assert len(met) >= 3, f"{met}\n{broken.log()}"  # a stage may be over before its turn comes
    assert "Traceback" not in broken.log()
    broken.run(*targets)  # the same command; nobody unlocks or cleans anything
    finished.run(*targets)
    expected, actual = finished.contents(), broken.contents()
    assert [key for key in actual if key not in expected or actual[key] != expected[key]] == []
    assert any("methods/hkd" in key for key in actual)
    assert name != "parent" or "table1.csv" in actual
    assert not list(broken.results.rglob("*.tmp"))


@pytest.mark.ci
def test_two_workflows_at_once_exclude_one_another(finished, new_workflow):
    both = new_workflow()
    first = both.start(*SOME)
    while job(first.pid, "hkd train shapes8 methods/edm") is None:
        assert first.poll() is None, both.log()[-2000:]
        time.sleep(0.05)
    second = both.start(*SOME)
    assert second.wait(600) != 0
    assert "lock" in both.log().lower()
    assert first.wait(1800) == 0, both.log()[-2000:]
    finished.run(*SOME)
    expected = finished.contents()
    assert [key for key, value in both.contents().items() if expected[key] != value] == []
