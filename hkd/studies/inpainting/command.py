"""`hkd inpaint`, `hkd colourise`, `hkd figure inpainting`: restoring images with a finished run, without training.

Without a picture of the user's they work on the images of their study in configs/studies, and measure the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job
from hkd.studies.options import ImageOption, OutOption

if TYPE_CHECKING:
    from hkd.cli import Commands

StepsOption = Annotated[int | None, typer.Option(help="Noise levels; each costs one evaluation.")]


def register(cli: Commands) -> None:
    """Add this study's commands."""
    cli.add(inpaint, group="look and edit", short="Generate missing pixels that fit the others")
    cli.add(colourise, group="look and edit", short="Generate colours for the luminance of pictures")
    cli.add_figure(inpainting_figure, "inpainting")


def inpaint(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    out: OutOption,
    image: ImageOption = None,
    mask: Annotated[
        Path | None, typer.Option(help="Black and white picture, white where pixels are missing; else the study's.")
    ] = None,
    steps: StepsOption = None,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Generate missing pixels so that they fit the others; without --image also colours, and measure both."""
    from hkd.experiment.adopting import take_up
    from hkd.studies.inpainting.plan import RESTORED, settings
    from hkd.studies.inpainting.restoration import inpainted, masks_of, true_images
    from hkd.studies.single_images import check_out, finished, leave, perceptual_distance

    check_out(out, *(image or ()), mask)
    plan = job.plan(benchmark, config, steps=("studies.inpainting.steps", steps))
    work, study = RESTORED.work(plan, dataset=dataset, method=method, seed=seed).expect(expect_digest), settings(plan)
    take_up(work, "weights", "perceptual", begin=job.record)
    to = job.pick_device(device)
    record = job.record(work, to, seed=seed, inputs=("weights",))
    run = finished(work.input("weights"), method, seed, to)
    masks = masks_of(study.masks, mask, run.shape.resolution)
    folder = str(work.input("images").parent) if study.source == "dataset" else None
    truth = true_images(run, image or [], folder, study.images)
    distance = perceptual_distance(run, work.input("perceptual"))
    arrays, facts = inpainted(run, truth, masks, study.steps, distance, title=method, colours=not image)
    shown = arrays[f"{next(iter(masks))}/result"]
    leave(out, arrays, shown, record, {"images": len(truth), "steps": study.steps, "restored": facts})


def colourise(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    out: OutOption,
    image: ImageOption = None,
    steps: StepsOption = None,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
) -> None:
    """Generate colours for the luminance of pictures; that of colour pictures is taken, and their colours forgotten."""
    from hkd.experiment.adopting import take_up
    from hkd.store.records import Record
    from hkd.studies.inpainting.plan import RESTORED, settings
    from hkd.studies.inpainting.restoration import colourised, true_images
    from hkd.studies.single_images import check_out, finished, leave, perceptual_distance

    check_out(out, *(image or ()))
    plan = job.plan(benchmark, config, steps=("studies.inpainting.steps", steps))
    work, study = RESTORED.work(plan, dataset=dataset, method=method, seed=seed), settings(plan)
    take_up(work, "weights", "perceptual", begin=job.record)
    run = finished(work.input("weights"), method, seed, job.pick_device(device))
    computed = job.settled(run.device)
    about = study.model_dump()
    record = Record("colourise", about, seed=seed, inputs=[run.weights], device=str(run.device), compute=computed)
    folder = str(work.input("images").parent) if study.source == "dataset" else None
    truth = true_images(run, image or [], folder, study.images)
    distance = perceptual_distance(run, work.input("perceptual"))
    arrays, facts = colourised(run, truth, study.steps, distance, title=f"{method} on {dataset}")
    leave(out, arrays, arrays["result"], record, {"images": len(truth), "steps": study.steps, "colour": facts})


def inpainting_figure(
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Truth, what was given, and what was restored, for every mask and for colours."""
    from hkd.store.artifacts import read_arrays, read_json
    from hkd.studies.inpainting import figure
    from hkd.studies.inpainting.plan import FIGURE, dataset, settings, source
    from hkd.studies.options import shown_run

    plan = job.plan(benchmark, config)
    work, study = FIGURE.work(plan).expect(expect_digest), settings(plan)
    record = job.record(work, seed=0)
    arrays, facts = read_arrays(work.input("arrays"), "inpaint"), read_json(work.input("metrics"), "inpaint")
    run = shown_run(plan, work, dataset(plan), study.run, 0)
    numbers = {"source": source(plan), "steps": facts["steps"], "facts": facts["restored"]}
    text = figure.caption(**run, **numbers, n=facts["images"])
    job.save_figure(figure.inpainting_figure(arrays, shown=study.shown), out, text, record)
