"""`hkd edit`, `hkd figure editing`: what bands of modes change in an image, and where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job
from hkd.studies.options import ImageOption, OutOption

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this study's commands."""
    cli.add(edit, group="look and edit", short="Blend a band of an image's modes with a reference's")
    cli.add_figure(editing_figure, "editing")


def edit(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    out: OutOption,
    image: ImageOption = None,
    reference: Annotated[
        Path | None, typer.Option(help="A picture of yours to edit towards; a generated one unless given.")
    ] = None,
    index: Annotated[int | None, typer.Option(help="Edit the generated image of this number only.")] = None,
    reference_index: Annotated[
        int | None, typer.Option(help="Edit towards the generated image of this number.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Where: lower_left_triangle, lower_half, ...")] = None,
    ratio: Annotated[list[float] | None, typer.Option(help="How much of the reference, 0 to 1; repeatable.")] = None,
    mid: Annotated[float | None, typer.Option(help="Noise level at which latents are blended.")] = None,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Blend a band of an image's modes with a reference's, in a region, in one step.

    All other keys are those of configs/studies/editing.yaml: --config studies.editing.order_by=abs_alpha.
    """
    from hkd.experiment.adopting import take_up
    from hkd.studies.editing.edits import Edit, Subjects, edited, in_a_row
    from hkd.studies.editing.plan import EDITED, settings
    from hkd.studies.single_images import check_out, finished, leave, only_one_of, perceptual_distance

    only_one_of(image=image, index=index is not None)
    only_one_of(**{"reference": reference, "reference-index": reference_index is not None})
    check_out(out, *(image or ()), reference)
    given = {"region": ("region", region), "ratio": ("ratios", list(ratio) if ratio else None), "mid": ("mid", mid)}
    own = {option: (f"studies.editing.{key}", value) for option, (key, value) in given.items()}
    plan = job.plan(benchmark, config, **own)
    work, study = EDITED.work(plan, dataset=dataset, method=method, seed=seed).expect(expect_digest), settings(plan)
    take_up(work, "weights", "perceptual", begin=job.record)
    to = job.pick_device(device)
    record = job.record(work, to, seed=seed, inputs=("weights",))
    run = finished(work.input("weights"), method, seed, to)
    pictured = Subjects(
        study.images,
        str(work.input("images").parent) if study.source == "dataset" else None,
        tuple(image or ()),
        reference,
        index,
        reference_index,
    )
    asked = Edit(**study.model_dump(include=set(Edit.__dataclass_fields__)))
    arrays, facts = edited(run, asked, pictured, perceptual_distance(run, work.input("perceptual")))
    leave(out, arrays, in_a_row(arrays), record, facts)


def editing_figure(
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Edited images beside their controls, and how far edits reach inside and outside of the region."""
    from hkd.store.artifacts import read_arrays, read_json
    from hkd.studies.editing import figure
    from hkd.studies.editing.plan import FIGURE, dataset, settings
    from hkd.studies.options import shown_run

    plan = job.plan(benchmark, config)
    work, study = FIGURE.work(plan).expect(expect_digest), settings(plan)
    record = job.record(work, seed=0)
    arrays, facts = read_arrays(work.input("arrays"), "edit"), read_json(work.input("metrics"), "edit")
    measured = facts["edited"]
    drawn = figure.editing_figure(arrays, measured, study.ratios, study.control, facts["time"], shown=study.shown)
    run = shown_run(plan, work, dataset(plan), study.run, 0)
    numbers = {"mid": facts["mid"], "time": facts["time"], "measured": measured, "n": facts["images"]}
    job.save_figure(drawn, out, figure.caption(**run, settings=study.model_dump(), **numbers), record)
