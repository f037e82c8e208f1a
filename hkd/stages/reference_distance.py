"""`hkd reference-distance`: how far the reference that was built here is from a published one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(reference_distance, group="compare and report", short="Hold the reference against a published one")


def reference_distance(
    dataset: job.DatasetArgument,
    file: Annotated[Path, typer.Argument(help="Published statistics: an .npz with mu and sigma.")],
    layout: Annotated[
        Literal["edm", "ttur", "adm", "clean-fid"] | None,
        typer.Option(help="Whose file it is; by default its name tells clean-fid's from all others."),
    ] = None,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Compare the built reference with a published one of the same preprocessing class, and keep the distance."""
    from dataclasses import asdict

    from hkd.metrics.references import built_reference, load_reference
    from hkd.metrics.references import reference_distance as between
    from hkd.metrics.scoring import FeatureSet
    from hkd.plan.chain import check
    from hkd.store.artifacts import map_arrays
    from hkd.store.atomic import write_json
    from hkd.store.records import Record

    plan = job.plan(benchmark, config)
    known = plan.layout.reference(dataset)
    check(plan, [known])
    record = Record("reference-distance", inputs=[known, file])
    side = FeatureSet(map_arrays(known, "reference"), "reference")
    extractor = side.extractors["own"]
    published = load_reference(file, layout=layout, dim=extractor.dim)
    kind = published.preprocessing
    built = built_reference(side, kind)
    found = between(built, published)
    out = plan.layout.reference_folder(dataset).of(f"distance-{file.stem}.json")
    identity = {"extractor": extractor.name, "extractor_digest": extractor.digest, "preprocessing": kind}
    counts = {"n_built": built.gaussian.n, "n_published": published.gaussian.n or None, "split": built.split}
    write_json(out, {**identity, **counts, "published": str(file), **asdict(found), "fdn": found.frechet.fdn})
    record.write(out)
    typer.echo(
        f"{extractor.name} between {built.gaussian.n:,} images of {dataset} and {file}: {found.frechet.distance:.6g} "
        f"({found.frechet.fdn:.3g} % of its variance), largest difference of a mean {found.largest_mean_difference:.3g}"
    )
