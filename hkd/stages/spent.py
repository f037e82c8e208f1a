"""`hkd spent`: where the CPU-seconds of a results folder went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(spent, group="maintain", short="Say where the CPU-seconds of a run went")


def spent(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Print CPU-seconds by rule and by row: all, those of work by the records, and the rest, the starts of processes.

    They are those of jobs, as Snakemake samples them; what Snakemake itself spends is not among them.
    """
    from hkd.plan.spent import spent as measured
    from hkd.report.spending import spending
    from hkd.store.refusals import ArtifactError

    plan = job.plan(benchmark, config)
    jobs = measured(plan)
    if not jobs:
        raise ArtifactError(f"{plan.layout.root}: no finished job that Snakemake measured; run the workflow first")
    typer.echo(spending(jobs))
