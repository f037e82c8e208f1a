"""`hkd search` from made-up metrics of one method: all trials, the one that is chosen, and what that gains."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from hkd import __main__ as entry
from hkd.plan.runs import Plan
from hkd.studies.search.plan import metrics
from tests.recorded import record_results


def test_the_trials_of_a_row_become_a_table_and_a_line(monkeypatch, root, tmp_path, capsys):
    overrides = {"results": str(tmp_path), "studies": {"search": {"methods": ["regression"]}}}
    plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), overrides, root / "configs")
    for number, paths in enumerate(metrics(plan).values()):
        for seed, path in enumerate(paths):
            content = {"metrics": {"fdn": 20 + seed + (number - 7) ** 2 + 0.1 * seed}, "diverged_at": None}
            content |= {"metrics": None, "diverged_at": 3} if (number, seed) == (8, 1) else {}
            Path(path).parent.mkdir(parents=True)
            Path(path).write_text(json.dumps({**content, "budget": {"network_evals": 6400}}))
    record_results(plan)
    monkeypatch.chdir(root)
    changes = (f"results={tmp_path}", "studies={search: {methods: [regression]}}")
    monkeypatch.setattr(sys, "argv", ["hkd", "search", *(word for c in changes for word in ("--config", c))])
    assert entry._run() == 0
    assert "best of 9 trials 2.0 x rate, 2.0 x steps; gain" in capsys.readouterr().out
    with (tmp_path / "search.csv").open() as file:
        rows = list(csv.DictReader(file))
    own = next(row for row in rows if row["own"] == "yes")
    chosen = next(row for row in rows if row["chosen"] == "yes")
    assert len(rows) == 9 and (own["verdict"], chosen["rate"], chosen["steps"]) == ("resolved", "2.0", "2.0")
    assert float(chosen["lr"]) == 2 * float(own["lr"]) and int(chosen["train_steps"]) == 2 * int(own["train_steps"])
    assert rows[8]["values"].split()[1] == "diverged" and rows[8]["fdn"] == ""
