"""`hkd paired` from made-up metrics: all seeds, and what is said when one is missing or was made by other settings."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from hkd import __main__ as entry
from hkd.plan.runs import Plan
from hkd.report.results import read_results
from hkd.studies.paired.plan import metrics
from tests.recorded import record_results

OVERRIDES = {"seeds": 3, "studies": {"paired": {"pairs": [["methods/hkd", "ablations/abl_mse_only"]]}}}


@pytest.fixture
def plan(root, tmp_path):
    overrides = {**OVERRIDES, "results": str(tmp_path)}
    return Plan.load(str(root / "configs/benchmarks/ablations.yaml"), overrides, root / "configs")


@pytest.fixture
def hkd(monkeypatch, root, tmp_path, capsys):
    """Run the command on the benchmark, with results in a temporary folder."""
    monkeypatch.chdir(root)

    def run() -> tuple[int, str]:
        changes = [
            f"results={tmp_path}",
            "seeds=3",
            "studies={paired: {pairs: [[methods/hkd, ablations/abl_mse_only]]}}",
        ]
        words = ["hkd", "paired", "--benchmark", "configs/benchmarks/ablations.yaml"]
        monkeypatch.setattr(sys, "argv", words + [word for change in changes for word in ("--config", change)])
        code = entry._run()
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.fixture
def measured(plan):
    for shift, paths in zip((0.0, 5.0), metrics(plan).values(), strict=True):
        for seed, path in enumerate(paths):
            content = {"metrics": {"fdn": 14 + seed + shift + 0.1 * (seed == 1)}, "diverged_at": None}
            Path(path).parent.mkdir(parents=True)
            Path(path).write_text(json.dumps(content))
    record_results(plan)
    return metrics(plan)


def test_the_pair_is_decided_and_its_scores_are_a_result_file(hkd, measured, tmp_path):
    code, out = hkd()
    assert code == 0, out
    with (tmp_path / "paired.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["verdict"], float(row["difference"]), row["seeds"]) == ("resolved", 5.0, "3")
    kept = read_results(tmp_path / "paired.json")
    assert kept.value("rows", "hkd", "fdn").values == (14.0, 15.1, 16.0)
    assert (kept.about["steps"], kept.about["seeds"]) == (500, 3)
    assert (tmp_path / "paired.md").is_file() and "resolved" in out
    record = json.loads((tmp_path / "paired.csv.record.json").read_text())
    assert record["files"] == 6 and len(record["inputs"]) == 6


def test_a_missing_seed_is_not_run_and_no_decision(hkd, measured, tmp_path):
    missing = Path(measured["methods/hkd"][1])
    missing.unlink()
    code, out = hkd()
    assert code == 0 and "not run: no FDn of seed 1" in out
    assert "fdn" not in json.loads((tmp_path / "paired.json").read_text())["rows"]["hkd"]
    assert json.loads((tmp_path / "paired.csv.record.json").read_text())["files"] == 5


def test_a_file_that_was_edited_is_refused(hkd, measured):
    Path(measured["methods/hkd"][0]).write_text('{"metrics": {"fdn": 1.0}}')
    code, out = hkd()
    assert code == 1 and "metrics/nfe1.json" in out
