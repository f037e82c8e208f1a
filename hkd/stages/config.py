"""`hkd config`: what a run would use, and where each value was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's commands."""
    cli.add_config(show)
    cli.add_config(tables)


def show(
    method: Annotated[str, typer.Argument(help=job.METHOD_HELP)],
    dataset: job.DatasetOption = "shapes16",
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Print the resolved settings of a run, each value with the file and line it comes from."""
    from hkd.plan.stages import TRAIN
    from hkd.settings.names import check_method

    plan = job.plan(benchmark, config)
    name = check_method(method if "/" in method else f"methods/{method}")
    work = TRAIN.work(plan, dataset=dataset, method=name, seed=0)
    for line in plan.run_layers(dataset, name).lines():
        typer.echo(line)
    typer.echo(f"\n# route: {plan.route(dataset, name)}   digest of the settings: {work.settings_digest}")


def tables(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Print every row of every table of the benchmark, and the run that answers it."""
    from hkd.plan.rows import cells

    plan = job.plan(benchmark, config)
    for name in plan.tables:
        typer.echo(f"{name} on {plan.table(name).dataset}, {len(plan.seeds)} seed(s)")
        for row, paths in cells(plan, name):
            typer.echo(f"  {row.label:40} nfe {row.nfe:<5} {row.method or 'not here yet':32} {len(paths)} run(s)")
