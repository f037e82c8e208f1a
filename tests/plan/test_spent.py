"""Where CPU-seconds went: every job once, with what Snakemake measured and what its record says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hkd.cli import Commands
from hkd.plan.runs import Plan
from hkd.plan.spent import Spent, spent
from hkd.report.spending import spending
from hkd.stages import spent as command
from hkd.store.atomic import write_text
from hkd.store.refusals import ArtifactError
from tests.recorded import recorded, resealed


@pytest.fixture
def plan(root, tmp_path, monkeypatch) -> Plan:
    """One training of two results and one sampling, both measured, and one metrics file that nobody measured."""
    monkeypatch.chdir(root)
    made = Plan.load("configs/benchmarks/embedded.yaml", {"results": f"{tmp_path}/results"})
    run = made.layout.run("shapes16", "methods/ecm", 0)
    costs = {run.raw: 40.0, run.weights: 41.5, run.samples(1): 2.0, run.metrics(1): 0.5}
    for path, seconds in costs.items():
        write_text(path, path)
        recorded(made, path)
        resealed(path, cpu_seconds=seconds, process_start={"cpu_seconds": 0.5})
    measure(run.log("train"), 44.0)
    measure(run.log("sample-nfe1"), 9.0, 5.0)
    return made


def measure(log: str, *seconds: float | str) -> None:
    write_text(f"{log}.jsonl", "".join(json.dumps({"s": 1.0, "cpu_time": value}) + "\n" for value in seconds))


def test_every_measured_job_counts_once_with_its_last_run(plan):
    row = "shapes16/methods/ecm"
    assert sorted(spent(plan)) == [Spent("sample", row, 5.0, 2.0), Spent("train", row, 44.0, 41.5)]


def test_forked_jobs_count_with_their_starts_and_each_server_of_any_once_with_its_own(plan):
    run = plan.layout.run("shapes16", "methods/ecm", 0)
    for path, server, seconds in ((run.raw, "1-a", 3.0), (run.weights, "1-a", 3.25), (run.samples(1), "2-b", 4.0)):
        resealed(path, process_start={"cpu_seconds": 0.25, "server": {"name": server, "cpu_seconds": seconds}})
    measure(run.log("train"), 0.25)  # Snakemake sees what hands the command over, and no more
    measure(run.log("sample-nfe1"), 0.25)
    row = "shapes16/methods/ecm"
    jobs = [Spent("sample", row, 2.25, 2.0), Spent("train", row, 41.75, 41.5)]
    assert sorted(spent(plan)) == [Spent("fork server", "", 3.25, 0.0), Spent("fork server", "", 4.0, 0.0), *jobs]


@pytest.mark.parametrize("start", [3, {"cpu_seconds": "1"}, {"server": {"name": "1-a"}}, {"server": []}])
def test_a_record_whose_start_is_none_is_refused_in_one_line(plan, start):
    resealed(plan.layout.run("shapes16", "methods/ecm", 0).samples(1), process_start=start)
    with pytest.raises(ArtifactError, match=r"nfe1.npz.record.json: .*; delete it and its result$"):
        spent(plan)


def test_a_job_of_a_moment_that_was_not_sampled_is_left_out(plan):
    run = plan.layout.run("shapes16", "methods/ecm", 0)
    measure(run.log("metrics-nfe1"), "NA")
    assert {job.rule for job in spent(plan)} == {"sample", "train"}


@pytest.mark.parametrize("content", ["{", "[1]", '{"cpu_time": 1}\n{"cpu_time": '])
def test_a_damaged_measurement_is_refused_in_one_line(plan, content):
    path = Path(f"{plan.layout.run('shapes16', 'methods/ecm', 0).log('train')}.jsonl")
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"train.jsonl: .*; delete it$"):
        spent(plan)


def test_the_tables_have_sums_shares_and_the_dearest_first():
    rule, row = spending([Spent("sample", "a", 5.0, 2.0), Spent("train", "a", 44.0, 41.5), Spent("table", "", 1, 0)])\
        .split("\n\n")  # fmt: skip
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in rule.splitlines()]
    assert lines[0] == ["Rule", "Jobs", "CPU, s", "Work, s", "Starts, s", "Work, %", "Of all, %"]
    assert lines[2] == ["train", "1", "44.0", "41.5", "2.5", "94", "88"]
    assert lines[-1] == ["in all", "3", "50.0", "43.5", "6.5", "87", "100"]
    assert [line.split("|")[1].strip() for line in row.splitlines()[2:]] == ["a", "all rows", "in all"]


def test_the_command_prints_them_and_an_empty_folder_is_one_line(plan, tmp_path):
    commands = Commands()
    command.register(commands)
    printed = CliRunner().invoke(commands.app, ["spent", "--config", f"results={plan.layout.root}"])
    assert printed.exit_code == 0 and "| train " in printed.output
    empty = CliRunner().invoke(commands.app, ["spent", "--config", f"results={tmp_path}/none"])
    assert isinstance(empty.exception, ArtifactError) and "no finished job" in str(empty.exception)
