"""`hkd calibrate`: what a difference in the score is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this study's command."""
    cli.add(calibrate, group="compare and report", short="Say what a difference in the score is worth")


def calibrate(
    dataset: job.DatasetArgument,
    splits: Annotated[
        int | None, typer.Option(help="Random splits of the real images into halves; the study's unless given.")
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(help="Real images taken, in a seeded order; each half has n/2. The study's unless given."),
    ] = None,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_code: job.CodeOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Score real images against real ones, clean and corrupted, in every implementation; table and figure."""
    from hkd.experiment.extractors import extractors
    from hkd.report.csv import to_csv
    from hkd.store.atomic import write_text
    from hkd.studies.calibration.calibrate import KEYS, of_image_set, six_digits
    from hkd.studies.calibration.figure import calibration, caption
    from hkd.studies.calibration.plan import TABLE, settings

    own = {"splits": ("studies.calibration.splits", splits), "n": ("studies.calibration.images", n)}
    plan = job.plan(benchmark, config, **own)
    work, study = TABLE.work(plan, dataset=dataset).expect(expect_digest, expect_code), settings(plan)
    to = str(job.pick_device(device))
    record = job.record(work, to)
    network = extractors(plan, dataset, to)["own"]
    rows = of_image_set(work.input("images").parent, network, images=study.images, splits=study.splits)
    write_text(work.out(), to_csv(six_digits(rows), KEYS))
    record.write(work.out())
    text = caption(rows, dataset=plan.dataset(dataset).title)
    job.save_figure(calibration(rows), Path(work.outputs["pdf"]), text, record)
