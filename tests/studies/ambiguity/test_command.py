"""`hkd ambiguity` and its figure, from made-up metrics: 3 % of noise, one arm five times worse, one diverged."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from hkd import __main__ as entry
from hkd.plan.runs import Plan
from hkd.studies.ambiguity import plan as ambiguity
from tests.recorded import record_results

WORSE, LOST = "decay_adamw", "time_map_sigma"


@pytest.fixture
def hkd(monkeypatch, root, tmp_path, capsys):
    """Run a command on the embedded benchmark, with results and figures in a temporary folder."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("HKD_BENCHMARK", raising=False)

    def run(*arguments: str) -> tuple[int, str]:
        places = ("--config", f"results={tmp_path}", "--config", f"figures={tmp_path / 'figures'}")
        monkeypatch.setattr(sys, "argv", ["hkd", *arguments, *places])
        code = entry._run()
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.fixture
def measured(root, tmp_path):
    """Metrics of every arm and seed; seeds differ by a quarter, arms by 3 %."""
    plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), {"results": str(tmp_path)}, root / "configs")
    draw = np.random.default_rng(0)
    for name, paths in ambiguity.arms(plan).items():
        for seed, path in enumerate(paths):
            fdn = 20 * math.exp(0.25 * seed + 0.03 * draw.normal()) * (5 if name == WORSE else 1)
            content = {"metrics": {"fdn": fdn}, "diverged_at": None, "budget": {"network_evals": 5000}}
            if name == LOST and seed == 1:
                content |= {"diverged_at": 17, "metrics": None}
            Path(path).parent.mkdir(parents=True)
            Path(path).write_text(json.dumps(content))
    record_results(plan)
    return ambiguity.settings(plan)


def test_the_table_separates_effects_from_undetectable_changes(hkd, measured, tmp_path):
    code, out = hkd("ambiguity")
    assert code == 0, out
    with (tmp_path / "ambiguity.csv").open(newline="") as file:
        rows = {row["variation"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(measured.variations)
    assert rows[WORSE]["verdict"] == "matters" and float(rows[WORSE]["change_percent"]) == pytest.approx(400, rel=0.1)
    assert rows[LOST]["verdict"] == "diverged: 1 of 2 seeds" and rows[LOST]["change_percent"] == ""
    assert rows["spectral"]["verdict"].startswith("not run: ")
    assert float(rows["pairing_adjacent"]["sd_additive_percent"]) == pytest.approx(100 * 0.03 * math.sqrt(2), rel=0.4)
    assert sum(row["verdict"] == "matters" for row in rows.values()) <= 3
    record = json.loads((tmp_path / "ambiguity.csv.record.json").read_text())
    assert record["steps"] == 80 and len(record["centre_fdn"]) == 2


def test_the_figure_is_drawn_from_the_table(hkd, measured, tmp_path):
    hkd("ambiguity")
    out = tmp_path / "figures/ambiguity.pdf"
    code, said = hkd("figure", "ambiguity", "--out", str(out))
    assert code == 0, said
    assert all(out.with_suffix(f".{kind}").stat().st_size > 500 for kind in ("pdf", "png", "md"))
    assert "time_map = sigma, A's rate x 10: diverged: 1 of 2 seeds" in out.with_suffix(".md").read_text()


def test_metrics_that_are_not_there_are_named(hkd):
    code, out = hkd("ambiguity")
    assert code == 1 and "ambiguity/centre/seed0/metrics/nfe1.json: missing" in out and "Traceback" not in out
