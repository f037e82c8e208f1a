"""`hkd import`: weights that the authors of a method released, as safetensors under our names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job
from hkd.store.lines import as_value

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(
        import_weights, group="maintain", short="Read released weights, for `released` in a benchmark", name="import"
    )


def import_weights(
    source: Annotated[Path, typer.Argument(help="A .pkl of EDM or ECT, or a .pt or .pth: see docs/released.md.")],
    method: job.MethodArgument,
    out: Annotated[Path, typer.Option(help="The .safetensors; its card is written beside it.")],
    dataset: job.DatasetOption = "cifar10",
    scale: Annotated[str, typer.Option(help="The scale whose network the weights are for.")] = "paper",
    expected: Annotated[
        str | None, typer.Option("--sha256", help="Digest that the file must have, where one is known.")
    ] = None,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Read released weights without running anything in their file, and write them under our names, with a card."""
    from hkd.experiment.importing import import_weights as bring
    from hkd.settings.origins import ConfigError

    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out}: expected a name that ends in .safetensors")
    plan = job.plan_of_one(benchmark, config, scale=("scale", scale))
    job.settled("cpu")
    run, data = plan.run(dataset, method), plan.dataset(dataset).data
    card = bring(source, out, run, data, dataset=dataset, method=method, expected=expected)
    typer.echo(f"{out}: {len(card['names']):,} tensors of {card['tensors']:,}, {card['parameters']:,} parameters")
    typer.echo(f"from {card['source']} (sha256 {card['source_sha256']})")
    typer.echo(f"licence: {card['licence']} ({card['repository']})")
    typer.echo(f"in a benchmark: released: {{{dataset}: {{{method}: {as_value(out)}}}}}")
