"""`hkd reference-distance`: how far the reference that was built here is from a published one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hkd.job import DEFAULT_PROFILE, DatasetArgument, OverrideOption, ProfileOption, plan
from hkd.store.artifacts import Record, write_json


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(reference_distance)


def reference_distance(
    dataset: DatasetArgument,
    file: Annotated[Path, typer.Argument(help="Published statistics: an .npz with mu and sigma.")],
    layout: Annotated[
        Literal["edm", "ttur", "adm", "clean-fid"] | None,
        typer.Option(help="Whose file it is; by default its name tells clean-fid's from all others."),
    ] = None,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
) -> None:
    """Compare the built reference with a published one of the same preprocessing class, and keep the distance."""
    from dataclasses import asdict

    from hkd.metrics.references import Reference, load_reference
    from hkd.metrics.references import reference_distance as between
    from hkd.metrics.scoring import FeatureSet
    from hkd.store.artifacts import read_arrays

    chosen = plan(profile, config)
    known = Path(chosen.layout.reference(dataset))
    record = Record("reference-distance", inputs=[known, file])
    side = FeatureSet(read_arrays(known, "reference"), "reference")
    eye = side.extractors["own"]
    published = load_reference(file, layout=layout, dim=eye.dim)
    about = (published.preprocessing, eye.name, eye.digest, str(side["split"]), str(side["images_digest"]))
    built = Reference(side.gaussian(f"own_{published.preprocessing}"), *about)
    found = between(built, published)
    out = known.with_name(f"distance-{file.stem}.json")
    identity = {"extractor": eye.name, "extractor_digest": eye.digest, "preprocessing": published.preprocessing}
    counts = {"n_built": built.gaussian.n, "n_published": published.gaussian.n or None, "split": built.split}
    write_json(out, {**identity, **counts, "published": str(file), **asdict(found), "fdn": found.frechet.fdn})
    record.write(out)
    typer.echo(
        f"{eye.name} between {built.gaussian.n:,} images of {dataset} and {file}: {found.frechet.distance:.6g} "
        f"({found.frechet.fdn:.3g} % of its variance), largest difference of a mean {found.largest_mean_difference:.3g}"
    )
