"""What jobs ask for is more than they take: their records tell the most memory of their processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hkd.plan.chain import Chain
from hkd.plan.runs import Plan

ONE = ("shapes8", "methods/edm")


@pytest.mark.slow
@pytest.mark.ci
def test_no_stage_takes_the_memory_that_it_asks_for(root: Path, tmp_path: Path) -> None:
    """From pixels to scores, each in a process of its own, as a workflow runs them."""
    changes = {"results": str(tmp_path), "extractors": "train"}
    plan = Plan.load(str(root / "configs/benchmarks/smoke.yaml"), changes, root / "configs")
    nfe = str(plan.run(*ONE).sampling.nfe[0])
    options = [
        "--benchmark",
        "configs/benchmarks/smoke.yaml",
        *(f"--config={key}={json.dumps(value)}" for key, value in changes.items()),
    ]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    for words in (
        ("prepare", "shapes8", "train"),
        ("prepare", "shapes8", "reference"),
        ("extractor", "shapes8", "metric"),
        ("reference", "shapes8"),
        ("train", *ONE),
        ("sample", *ONE, "--nfe", nfe),
        ("features", *ONE, "--nfe", nfe),
        ("metrics", *ONE, "--nfe", nfe),
    ):
        # through a shell that forks: the most memory of a process begins with that of the one which started it
        command = ["bash", "-c", '"$@"; exit $?', "bash", sys.executable, "-m", "hkd", *words, *options]
        ran = subprocess.run(command, cwd=root, capture_output=True, text=True, env=alone, timeout=300)
        assert ran.returncode == 0, f"{words}: {ran.stderr[-1500:]}"
    chain, taken = Chain(plan), {}
    for record in tmp_path.rglob("*.record.json"):
        if work := chain.maker(str(record).removesuffix(".record.json")):
            peak = json.loads(record.read_text())["peak_memory_mib"] * 2**20 / 1e6
            taken[work.stage] = (round(peak), work.definition.needs.mem_mb)
    print(taken)
    assert taken.keys() >= {"prepare", "extractor", "reference", "train", "sample", "features", "metrics"}
    assert [stage for stage, (peak, asked) in taken.items() if not 0 < peak < asked] == []
