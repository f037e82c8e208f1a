"""`hkd data`: data sets from their sources, and whether they still hold what they held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hkd import job
from hkd.store.lines import as_value, printable

if TYPE_CHECKING:
    from hkd.cli import Commands

StoreArgument = Annotated[Path, typer.Argument(help="A set that `hkd data prepare` made: a folder or a zip.")]


def register(cli: Commands) -> None:
    """Add this file's commands."""
    cli.add_data(prepare_data, "prepare")
    cli.add_data(check_data, "check")


def prepare_data(
    dataset: job.DatasetArgument,
    source: Annotated[Path, typer.Argument(help="An archive, a folder or a zip; see docs/data.md.")],
    out: Annotated[Path, typer.Option(help="A folder, or a .zip in EDM's format.")],
    skip_unreadable: job.SkipOption = False,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Keep a data set in one form, whatever it comes as, with digests of its images and what is known of its source."""
    from hkd.data.canonical import keep
    from hkd.data.kinds.images import opened
    from hkd.settings.origins import ConfigError

    about = job.plan_of_one(benchmark, config).dataset(dataset)
    if about.data.kind != "images":
        raise ConfigError(f"data set '{dataset}' is drawn, not read from files; `hkd prepare {dataset}` draws it")
    data = about.data.model_copy(update={"path": str(source)})
    found = opened(data, dataset, skip_unreadable=skip_unreadable)
    job.say(found.remarks, source)
    _show(out, keep(found, out, about.licence))
    typer.echo(f"in a benchmark: data: {{{dataset}: {{path: {as_value(out)}}}}}")


def check_data(
    store: StoreArgument,
    against: Annotated[
        Path | None, typer.Option(help="Another set or source of the same images, in the same order.")
    ] = None,
) -> None:
    """Compare a kept data set with its digests, or with another source; name the first image that differs."""
    from hkd.data import DataError
    from hkd.data.sources import open_source
    from hkd.data.tree import first_difference, read_tree

    kept = read_tree(store)
    other = open_source(store)
    if different := first_difference(other, kept["images"]):
        raise DataError(f"{store}: {different}; prepare it again")
    _show(store, kept)
    if against is not None:
        if different := first_difference(open_source(against, resolution=other.resolution), kept["images"]):
            raise DataError(f"{against}: not the images of {store}: {different}")
        typer.echo(f"{against}: the same images")


def _show(store: Path, kept: dict[str, Any]) -> None:
    typer.echo(f"{store}: {len(kept['images']):,} images, tree sha256 {kept['tree_sha256']}")
    typer.echo(f"source: {printable(kept['source'])} ({printable(kept['archive'])})")
    typer.echo(f"licence: {printable(kept['licence']) or 'not stated'}")
