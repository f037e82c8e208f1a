"""`hkd trajectory`, `hkd figure trajectories`: what a run makes of every state of a trajectory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job
from hkd.studies.options import ImageOption, OutOption

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this study's commands."""
    cli.add(trajectory, group="look and edit", short="Decode one encoding at any noise levels")
    cli.add_figure(trajectories_figure, "trajectories")


def trajectory(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    out: OutOption,
    image: ImageOption = None,
    index: Annotated[list[int] | None, typer.Option(help="Number of a generated image; repeatable.")] = None,
    times: Annotated[str | None, typer.Option(help="Noise levels to decode at: 80,10,1,0.002.")] = None,
    at: Annotated[
        float | None, typer.Option(help="Noise level at which a picture is encoded; the lowest unless given.")
    ] = None,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Decode one encoding at any noise levels; without --image and --times, beside the teacher's own trajectory."""
    from hkd.experiment.adopting import take_up
    from hkd.settings.origins import ConfigError
    from hkd.studies.single_images import check_out, finished, leave, only_one_of
    from hkd.studies.states.course import beside_teacher, decoded, in_a_row, levels_of, shown_levels
    from hkd.studies.states.plan import STATES, settings

    only_one_of(image=image, index=index)
    if at is not None and not image:
        raise ConfigError(f"--at {at:g}: is where a picture is encoded; give it with --image")
    check_out(out, *(image or ()))
    plan = job.plan(benchmark, config)
    work, study = STATES.work(plan, dataset=dataset, method=method, seed=seed).expect(expect_digest), settings(plan)
    to, spec = job.pick_device(device), plan.trajectory_set(dataset, study.trajectories)
    levels = levels_of(times) if times else shown_levels(spec, study.levels)
    alone = bool(image or times)
    read = ("weights",) if alone else ("weights", "teacher")
    take_up(work, *read, begin=job.record)
    record = job.record(work, to, seed=seed, inputs=read)
    run = finished(work.input("weights"), method, seed, to)
    numbers = list(range(len(image))) if image else index or list(range(study.images))
    if alone:
        arrays, facts = decoded(run, numbers, image or [], at, levels)
    else:
        arrays, facts = beside_teacher(run, work.input("teacher"), spec, numbers, levels)
    leave(out, arrays, in_a_row(arrays), record, facts)


def trajectories_figure(
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """A teacher's trajectories, what the run predicts from each state, and what it decodes at each time."""
    from hkd.store.artifacts import read_arrays, read_json
    from hkd.studies.options import shown_run
    from hkd.studies.states import figure
    from hkd.studies.states.plan import FIGURE, dataset, settings

    plan = job.plan(benchmark, config)
    work, study = FIGURE.work(plan).expect(expect_digest), settings(plan)
    record = job.record(work, seed=0)
    arrays, facts = read_arrays(work.input("arrays"), "trajectory"), read_json(work.input("metrics"), "trajectory")
    run = shown_run(plan, work, dataset(plan), study.run, 0)
    drawn = figure.trajectories_figure(arrays, facts["sigmas"], shown=study.shown)
    job.save_figure(drawn, out, figure.caption(**run, facts=facts, n=facts["images"]), record)
