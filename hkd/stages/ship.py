"""`hkd ship`: retrained weights beside the shipped ones, or in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(ship, group="maintain", short="Compare retrained weights with the shipped ones, or ship them")


def ship(
    dataset: job.DatasetArgument,
    write: Annotated[
        bool, typer.Option(help="Replace the shipped weights; without it they are only compared.")
    ] = False,
    further: Annotated[
        bool, typer.Option(help="Put the quality of the benchmark's further seeds on the cards; weights stay.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="One of the data set's shipped weights, as methods/edm; repeatable.")
    ] = None,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Compare retrained weights with the cards of the shipped ones, or ship them instead.

    `--further` with `--config seeds=3` and `--only` puts the quality of trainings from seeds 1 and 2 on cards.
    """
    from hkd.experiment import cards
    from hkd.settings.origins import ConfigError, nearest
    from hkd.store import shipped

    if write and further:
        raise ConfigError("--write and --further: one replaces weights, the other keeps them; say one of the two")
    plan = job.plan(benchmark, config)
    known = plan.dataset(dataset)
    names = {**known.shipped, **known.students}
    found = {}
    for what in only or (known.students if further else cards.retrained(plan, dataset, names)):
        if what not in names:
            raise ConfigError(f"{dataset}: ships no '{what}'. {nearest(what, list(names))}")
        if what in known.students and plan.benchmark.students == "shipped":
            raise ConfigError(f"{what}: this benchmark trains it beside the shipped one; name benchmarks/students.yaml")
        if further:
            if what not in known.students:
                raise ConfigError(
                    f"{what}: further trainings are told of rows alone. {nearest(what, list(known.students))}"
                )
            found[what] = cards.further(plan, dataset, what, shipped.read_card(names[what]))
            continue
        weights, made = cards.card(plan, dataset, what)
        if write:
            typer.echo(f"{what}: wrote {shipped.ship(names[what], weights, made)}")
            continue
        for line in cards.compared(what, names[what], made, shipped.read_card(names[what])):
            typer.echo(line)
    for what, values in found.items():  # none before all are known
        typer.echo(f"{what}: wrote {shipped.add_further(names[what], values)}")
