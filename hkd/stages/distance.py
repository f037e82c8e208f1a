"""`hkd distance`: the scores of images that another program has made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands

MAX_NAME_BYTES = 180  # of 255 that a disk allows: a record and a temporary file beside have longer names


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(distance, group="your own images", short="Score images that another program has made")


def distance(
    images: Annotated[Path, typer.Argument(help="Folder or zip of equally large images, or an .npz or .npy of bytes.")],
    dataset: job.DatasetArgument,
    claimed: Annotated[int | None, typer.Option("--n", help="Stop unless there are this many images.")] = None,
    skip_unreadable: job.SkipOption = False,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
) -> None:
    """Score images from elsewhere against the built reference, in the columns of the benchmark's tables."""
    from hkd.data.file_names import native, text_of
    from hkd.data.foreign import load_images
    from hkd.data.image_set import check_size, image_shape
    from hkd.experiment.extractors import extractors, feature_cache, networks_beside
    from hkd.metrics.features.inputs import check_images
    from hkd.metrics.measure import measure
    from hkd.metrics.schema import check_metrics
    from hkd.plan.chain import check
    from hkd.plan.scores import bar, extractor_files, nominal, scores
    from hkd.store.artifacts import map_arrays
    from hkd.store.atomic import write_json
    from hkd.store.lines import printable
    from hkd.store.records import Record

    plan, to = job.plan(benchmark, config), str(job.pick_device(device))
    known = plan.layout.reference(dataset)
    check(plan, [known, *extractor_files(plan, dataset)])
    reference = map_arrays(known, "reference")
    real = plan.layout.data(dataset, plan.reference_split(dataset))
    side = image_shape(Path(real)).resolution
    scratch = Path(known).parent
    given = load_images(images, claimed=claimed, side=side, skip_unreadable=skip_unreadable, scratch=scratch)
    files = [images] if images.is_file() else []
    record = Record(
        "distance", inputs=[*files, known, *extractor_files(plan, dataset)], device=to, compute=job.settled(to)
    )
    job.say(given.remarks, images)
    pixels = check_images(given.pixels, name=str(images))
    check_size(pixels, real, images, dataset)
    found = measure(
        pixels,
        reference,
        extractors(plan, dataset, to),
        scores(plan, dataset),
        nominal=nominal(plan, dataset),
        bar=bar(plan, dataset),
        network_scores=networks_beside(plan, dataset),
        cache=feature_cache(plan),
        scratch=scratch,
    )
    given.check_unchanged()
    check_metrics(found, where=str(images))
    name = f"scores-{_called(images)}-{found['generated_digest']:.8}.json"
    out = plan.layout.reference_folder(dataset).of(native(name))
    write_json(out, {"images": text_of(images), "dataset": dataset, "remarks": list(given.remarks), **found})
    record.write(out, n=len(pixels), images_digest=found["generated_digest"])
    for name, value in found["scores"].items():
        doubt = "; ".join(found["protocols"][name]["estimate"])
        typer.echo(f"{name:28} {value:12.6g}{f'  an estimate: {doubt}' if doubt else ''}")
    typer.echo(f"{found['metric']} features of {len(pixels):,} images; protocols in {printable(text_of(out))}")


def _called(images: Path) -> str:
    """Return what scores are called after: the name of what was scored, as far as a file may be called so."""
    from hkd.data.file_names import text_of

    plain = "".join(letter if letter.isprintable() else "_" for letter in text_of(images.resolve().name))
    return plain.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
