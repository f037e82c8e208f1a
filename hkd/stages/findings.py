"""`hkd findings`: the page of findings, written anew from the result files that it cites."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(findings, group="maintain", short="Write docs/findings.md anew from its result files")


def findings(
    page: Annotated[Path, typer.Option(help="Page whose sections are written.")] = Path("docs/findings.md"),
    folder: Annotated[Path, typer.Option(help="Result files and the words around them.")] = Path("docs/findings"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; name what disagrees.")] = False,
) -> None:
    """Write every section of the page from its result file; with --check, leave with 1 if a sentence disagrees."""
    from hkd.report.page import disagreements, read_page, written
    from hkd.store.atomic import write_text

    text = read_page(page, "run `hkd findings` where the repository is, or name it with --page")
    if not check:
        write_text(page, written(text, folder))
        return
    found = disagreements(text, folder)
    for line in found:
        typer.echo(f"{page}, {line}")
    if found:
        raise typer.Exit(1)
