"""`hkd config`: what a run would use, and where each value was written."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hkd.job import DEFAULT_PROFILE, MethodArgument, OverrideOption, ProfileOption, plan
from hkd.settings.origins import Layers


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    config = typer.Typer(help="Look at settings.", no_args_is_help=True, rich_markup_mode=None)
    config.command()(show)
    config.command()(tables)
    app.add_typer(config, name="config")


def show(
    method: MethodArgument,
    dataset: Annotated[str, typer.Option(help="Data set: the name of a file in configs/datasets.")] = "shapes16",
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
) -> None:
    """Print the resolved settings of a run, each value with the file and line it comes from."""
    chosen = plan(profile, config)
    name = method if "/" in method else f"methods/{method}"
    chosen.run(dataset, name)
    for line in lines(chosen.run_layers(dataset, name)):
        typer.echo(line)
    typer.echo(f"\n# route: {chosen.route(dataset, name)}   digest: {chosen.train_digest(dataset, name)}")


def tables(profile: ProfileOption = DEFAULT_PROFILE, config: OverrideOption = None) -> None:
    """Print every row of every table of the profile, and the run that answers it."""
    chosen = plan(profile, config)
    for name in chosen.tables:
        typer.echo(f"{name} on {chosen.table(name).dataset}, {len(chosen.seeds)} seed(s)")
        for row, paths in chosen.cells(name):
            typer.echo(f"  {row.label:40} nfe {row.nfe:<5} {row.method or 'not here yet':32} {len(paths)} run(s)")


def lines(layers: Layers) -> list[str]:
    """Return settings as YAML-like lines with their origins aligned behind them."""
    found: list[tuple[str, str]] = []

    def walk(node: dict[str, Any], path: tuple[str, ...]) -> None:
        for key, value in node.items():
            here = (*path, key)
            indent = "  " * len(path)
            if isinstance(value, dict) and value:
                found.append((f"{indent}{key}:", ""))
                walk(value, here)
            else:
                found.append((f"{indent}{key}: {value}", layers.origin(here)))

    walk(layers.values, ())
    width = max((len(text) for text, origin in found if origin), default=0)
    return [f"{text:{width}}  # {origin}" if origin else text for text, origin in found]
