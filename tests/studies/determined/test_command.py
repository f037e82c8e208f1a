"""The study from finished trainings to table, text and figure, by its commands."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hkd import interrupt
from hkd.cli import Commands
from hkd.experiment.build import method as build
from hkd.experiment.record import run_document
from hkd.plan.runs import Plan
from hkd.settings.origins import to_yaml
from hkd.store.artifacts import save_weights
from hkd.store.atomic import write_text
from hkd.store.records import Record
from hkd.studies.determined import command
from hkd.studies.determined.plan import trained
from hkd.training.milestones import weights_name
from tests.koopman.networks import moved
from tests.recorded import record_results
from tests.studies.milestones import DATASET, SHAPE, list_milestones

SMOKE = "configs/benchmarks/smoke.yaml"
KEYS = {
    "seeds": "2",
    "studies.determined.gaussian.kept": "[2, 6]",
    "studies.determined.gaussian.channels": "2",
    "studies.determined.gaussian.seeds": "2",
    "studies.determined.orders": "[alpha]",
}


@pytest.fixture
def call(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    interrupt.reset()
    commands = Commands()
    command.register(commands)
    keys = {**KEYS, "results": f"{tmp_path}/results", "figures": f"{tmp_path}/figures"}
    own = [word for key, value in keys.items() for word in ("--config", f"{key}={value}")]
    return lambda *words: CliRunner().invoke(commands.app, [*words, "--benchmark", SMOKE, *own])


def students(plan: Plan) -> None:
    """Leave the milestones of every student, each a network of its own."""
    for number, (name, seed) in enumerate(trained(plan)):
        run, files = plan.run(DATASET, f"determined/{name}"), plan.layout.run(DATASET, f"determined/{name}", seed)
        document = run_document(run, SHAPE, dataset=DATASET, method=f"determined/{name}", seed=seed)
        write_text(files.config, to_yaml(document))
        for step in (1, 8):
            path = Path(files.milestones) / weights_name(step)
            save_weights(path, moved(build(run, SHAPE, seed=step, parts=None), seed=100 * number + step).artefact())
            Record("train").write(path)
        save_weights(files.weights, build(run, SHAPE, seed=8, parts=None).artefact())
        list_milestones(plan, f"determined/{name}", seed, [1, 8])
    record_results(plan)


def test_from_milestones_to_table_text_and_figure(call, tmp_path):
    changes = {"results": f"{tmp_path}/results", "seeds": 2}
    students(Plan.load(SMOKE, changes))
    for words in (["known-rates"], ["spectrum-courses"], ["determined"]):
        result = call(*words)
        assert result.exit_code == 0, str(result.exception)
    with (tmp_path / "results/determined.csv").open() as file:
        rows = {(row["kind"], row["measure"]): row for row in csv.DictReader(file)}
    assert len(rows) == 2 * 6
    assert rows["teachers", "modes"]["comparisons"] == "6" and rows["seeds", "modes"]["last_step"] == "8"
    assert rows["Gaussian data, fixed encoder", "modes"]["last_step"] == "6"
    assert "rank correlation of the fitted with the true rates" in (tmp_path / "results/determined.md").read_text()
    drawn = call("figure", "determined", "--out", f"{tmp_path}/determined.pdf")
    assert drawn.exit_code == 0, drawn.exception
    assert (tmp_path / "determined.png").exists()


def test_the_control_alone_is_repeatable(call, tmp_path):
    path = tmp_path / "results/determined/known_rates.json"
    assert call("known-rates").exit_code == 0
    first = path.read_bytes()
    assert call("known-rates").exit_code == 0 and path.read_bytes() == first
    assert "start snakemake again" in str(call("known-rates", "--expect-digest", "another").exception)
