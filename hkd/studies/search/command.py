"""`hkd search`: what an equal search of its settings gains for every live row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this study's command."""
    cli.add(search, group="compare and report", short="Say what an equal search gains for every row")


def search(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Print every trial of every row, and what choosing among them gains on seeds that the choice was not made on."""
    from hkd.report.csv import to_csv
    from hkd.store.artifacts import read_json
    from hkd.store.atomic import write_text
    from hkd.studies.search.plan import NAME, TABLE, dataset, metrics, settings, trials
    from hkd.studies.search.table import COLUMNS, Tried, lines, summary

    plan = job.plan(benchmark, config)
    work, study, on = TABLE.work(plan).expect(expect_digest), settings(plan), dataset(plan)
    record, files = job.record(work), metrics(plan)
    found = []
    for method in study.methods:
        tried = []
        for trial in trials(study, method):
            contents = [read_json(path, "metrics") for path in files[trial.name]]
            run = plan.run(on, f"{NAME}/{trial.name}").training
            facts = {
                **{key: getattr(trial, key) for key in ("rate", "steps", "batch")},
                "lr": run.optimizer.lr,
                "train_steps": run.steps,
                "train_batch": run.batch,
                "network_evals": contents[0]["budget"]["network_evals"],
            }
            scores = [None if c.get("diverged_at") is not None else c["metrics"]["fdn"] for c in contents]
            tried.append(Tried(facts, trial.own, tuple(scores)))
        title = plan.title(on, f"methods/{method}")
        found.extend(lines(title, tried, confidence=study.confidence, power=study.power))
    write_text(work.out(), to_csv(found, COLUMNS))
    record.write(work.out(), seeds=list(study.seeds))
    for line in summary(found):
        typer.echo(line)
