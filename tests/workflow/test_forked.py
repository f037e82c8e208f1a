"""What jobs make that are forked from one process is what jobs make that start by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SHAPES = "results/smoke/shapes8"
SOME = (f"{SHAPES}/reference/features.npz", f"{SHAPES}/methods/edm/seed0/weights.safetensors")
TIMES = {"started", "wall_seconds", "cpu_seconds", "train_seconds", "peak_memory_mib", "process_start", "record_sha256"}


def records(results: Path) -> dict[str, dict]:
    found = {}
    for path in sorted(results.rglob("*.record.json")):
        found[str(path.relative_to(results))] = json.loads(path.read_text())
    return found


@pytest.mark.slow
@pytest.mark.ci
def test_forked_jobs_make_the_bytes_and_the_records_of_jobs_that_start_by_themselves(new_workflow):
    forked, alone = new_workflow(), new_workflow()
    runs = [forked.start(*SOME), alone.start(*SOME, options=("--config", "fork_server=false"))]
    assert [run.wait(600) for run in runs] == [0, 0], forked.log()[-2000:] + alone.log()[-2000:]
    assert forked.contents() == alone.contents()
    made, due = records(forked.results), records(alone.results)
    assert all("server" in record["process_start"] for record in made.values())
    assert not any("server" in record["process_start"] for record in due.values())
    assert len({record["process_start"]["server"]["name"] for record in made.values()}) == 1
    for name, record in due.items():
        different = {key for key in record if record[key] != made[name][key]}
        assert different <= TIMES | {"budget", "inputs", "sha256"}, name  # digests of files that tell of times
        assert made[name]["compute"] == record["compute"]
