"""`hkd plan`: what a benchmark costs before it is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(plan, group="look and edit", short="Say what a benchmark costs before it is run")


def plan(
    targets: Annotated[list[str] | None, typer.Argument(help="Results; without any, all that is made.")] = None,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    gpus: Annotated[int, typer.Option(min=1, help="Devices: GPUs, or cores of a CPU that is probed.")] = 1,
    card: Annotated[str | None, typer.Option(help="Card, as in hkd/accelerators.py: h100, a100, v100, ...")] = None,
    mfu: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the card's peak that is reached. Assumed by default.")
    ] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Measure this machine's CPU, in less than a minute.")] = False,
    probe_file: Annotated[Path | None, typer.Option(help="probe.json of `make test-gpu`, in place of a card.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="As if nothing were there.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Keep in configs/counted.json what was counted.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the account: .csv holds its lines, .md the page.")] = None,
) -> None:
    """Count jobs, operations, bytes and hours of all that a benchmark makes, the dearest first.

    Leaves with 1 if something cannot be done as planned.
    """
    from hkd.experiment.costing import Counted, speed_of
    from hkd.plan.account import account
    from hkd.plan.bill import Bill
    from hkd.plan.graph import Graph
    from hkd.report.priced import markdown, write

    made = job.plan(benchmark, config)
    graph = Graph(made, targets or None, anew=anew)
    counted = Counted(made, graph, kept=count)
    counted.prepare(say=lambda line: typer.echo(line, err=True))
    speed = speed_of(made, counted, card=card, mfu=mfu, probe=probe, probe_file=probe_file)
    found = account(made, graph, Bill(made, counted.of, counted.features), counted.of, speed, gpus)
    about = [f"{made.benchmark.benchmark} on {gpus} of {speed.said}"]
    typer.echo(markdown(found, about), nl=False)
    if out:
        write(out, found, about)
    if found.refused:
        raise typer.Exit(1)
