"""`hkd fetch`: published files of pinned digests, from the network or from a copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(fetch, group="maintain", short="Fetch published weights")


def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Files to fetch; without any, the known ones are listed.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where they are put, and where runs look for them.")] = Path("weights"),
    local: Annotated[
        Path | None,
        typer.Option("--from", help="Copy from this file instead of the network; its digest is checked too."),
    ] = None,
) -> None:
    """Fetch published weights once, and check their digests; jobs themselves never touch the network."""
    from hkd.store.download import fetch as bring
    from hkd.store.download import place
    from hkd.store.published import STATISTICS, WEIGHTS, pinned

    entries = [pinned(name) for name in names or []]
    if not names:
        for entry in WEIGHTS.values():
            here = "here" if place(entry, folder).exists() else "absent"
            typer.echo(f"{entry.name:22} {here:7} {entry.filename:42} for {entry.used_for}")
        for known in STATISTICS.values():
            typer.echo(f"{known.name:22} unpinned {known.filename:41} for `statistics:`; naming it says how to pin it")
    for entry in entries:
        path = place(entry, folder)
        said = "fetched" if bring(entry, path, local) else "already here"
        typer.echo(f"{path}: {said}, digest as pinned")
        typer.echo(f"licence: {entry.licence}")
