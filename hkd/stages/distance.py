"""`hkd distance`: the scores of images that another program has made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hkd.job import DEFAULT_PROFILE, DatasetArgument, DeviceOption, OverrideOption, ProfileOption, plan
from hkd.store.artifacts import ArtifactError, Record, write_json


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(distance)


def distance(
    images: Annotated[Path, typer.Argument(help="Folder or zip of equally large images, or an .npz or .npy of bytes.")],
    dataset: DatasetArgument,
    claimed: Annotated[int | None, typer.Option("--n", help="Stop unless there are this many images.")] = None,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Score images from elsewhere against the built reference, in the columns of the profile's tables."""
    from hkd.data.images import ImageSet
    from hkd.experiment.extractors import beside, eyes, feature_cache
    from hkd.metrics.features.inputs import load_images
    from hkd.metrics.measure import measure
    from hkd.metrics.schema import check_metrics
    from hkd.plan.scores import extractor_files, nominal, scores
    from hkd.store.artifacts import read_arrays

    chosen = plan(profile, config)
    known = Path(chosen.layout.reference(dataset))
    files = [images] if images.is_file() else []
    record = Record("distance", inputs=[*files, known, *extractor_files(chosen, dataset)], device=device)
    reference = read_arrays(known, "reference")
    pixels = load_images(images, claimed=claimed)
    side = ImageSet(chosen.layout.data(dataset, chosen.reference_split(dataset))).resolution
    if pixels.shape[2:] != (side, side):
        height, width = pixels.shape[2:]
        raise ArtifactError(f"{images}: {width} x {height} pixels, {dataset} has {side} x {side}; sample at that size")
    found = measure(
        pixels,
        reference,
        eyes(chosen, dataset, device),
        scores(chosen, dataset),
        nominal=nominal(chosen, dataset),
        network_scores=beside(chosen, dataset, device),
        cache=feature_cache(chosen),
    )
    check_metrics(found, where=str(images))
    out = known.with_name(f"scores-{images.resolve().name}-{found['generated_digest'][:8]}.json")
    write_json(out, {"images": str(images), "dataset": dataset, **found})
    record.write(out, n=len(pixels), images_digest=found["generated_digest"])
    for name, value in found["scores"].items():
        doubt = "; ".join(found["protocols"][name]["estimate"])
        typer.echo(f"{name:28} {value:12.6g}{f'  an estimate: {doubt}' if doubt else ''}")
    typer.echo(f"{found['metric']} features of {len(pixels):,} images; protocols in {out}")
