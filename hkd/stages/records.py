"""`hkd records`: the trainings of a results folder, those that others took the place of, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import interrupt, job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(records, group="maintain", short="List finished and superseded trainings, and restore one")


def records(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of one run or feature network, as the list prints it, or of results; else the benchmark's."
        ),
    ] = None,
    superseded: Annotated[
        bool, typer.Option("--superseded", help="Those that other settings, code or inputs took the place of.")
    ] = False,
    restore: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Put this superseded training of RUN back; what is there is set aside."),
    ] = None,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """List trainings: where, name, when, steps, recorded hours. Superseded ones can be restored by their name."""
    from hkd.settings.origins import ConfigError
    from hkd.store import history

    if run is not None and not run.is_dir():
        raise ConfigError(f"{run}: no such folder; name one as `hkd records` prints it")
    if restore is not None:
        if run is None:
            raise ConfigError(f"--restore {restore}: of which run? name its folder, as `hkd records` prints it")
        with interrupt.only_writer(run):
            for moved in history.restore(run, restore):
                typer.echo(f"what lay in {run} lies in {moved} now", err=True)
        typer.echo(f"{run}: {restore} is in place again; a workflow of the settings that made it goes on with it")
        return
    listed = (
        history.trainings(job.plan(benchmark, config).layout, superseded=superseded)
        if run is None
        else history.trainings_in(run, superseded=superseded)  # which needs no benchmark
    )
    for found in listed:
        typer.echo(found.line())
    if not listed:
        typer.echo(f"no {'superseded' if superseded else 'finished'} training{f' in {run}' if run else ''}", err=True)
