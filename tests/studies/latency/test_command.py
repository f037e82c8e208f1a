"""From finished weights to Table 6, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from hkd import __main__ as entry

FEW = ("--config", "studies.latency.repeats=2", "--config", "studies.latency.warm_up=1", "--config", "seeds=1")


def test_a_finished_run_is_timed(hkd, files):
    code, err = hkd("latency", "--nfe", 1, *FEW)
    assert code == 0, err
    timing = Path(files.of("latency/nfe1.json"))
    found = json.loads(timing.read_text())
    assert len(found["seconds"]) == 2 and found["device"] == "cpu" and found["precision"] == "fp32"
    assert found["parameters"] > 1000 and found["operations"] > 1e6
    record = json.loads(Path(f"{timing}.record.json").read_text())
    assert record["of"] == {"dataset": "shapes8", "method": "methods/hkd", "seed": "0", "nfe": "1"}


def test_the_table_holds_what_was_timed(hkd, results, capsys, monkeypatch):
    only = "tables={table1: {dataset: shapes8, reported: cifar10, rows: table1, run: [methods/hkd], extra: []}}"
    code, err = hkd("latency", "--nfe", 1, *FEW, "--config", only)
    assert code == 0, err
    words = ["hkd", "latency-table", "--benchmark", "configs/benchmarks/smoke.yaml", *FEW, "--config", only]
    monkeypatch.setattr("sys.argv", [*words, "--config", f"results={results}"])
    assert entry._run() == 0, capsys.readouterr().err
    with open(results / "table6.csv", newline="") as file:
        lines = {(line["run"], line["nfe"]): line for line in csv.DictReader(file)}
    assert len(lines) == 19
    timed = lines.pop(("methods/hkd", "1"))
    assert float(timed["lower"]) <= float(timed["seconds"]) <= float(timed["upper"]) and timed["device"] == "cpu"
    assert not any(line["seconds"] for line in lines.values())
    assert (
        "| HKD" in (results / "table6.md").read_text() and "HKD & methods/hkd" in (results / "table6.tex").read_text()
    )


def test_what_cannot_be_timed_is_one_line(refused):
    assert "run `hkd train`" in refused("latency", "--nfe", 1, "--seed", 7)
    assert "latency.repeats" in refused("latency", "--nfe", 1, "--config", "studies.latency.repeats=0")
