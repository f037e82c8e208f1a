"""`hkd calibrate`: what a difference in the score is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hkd.job import (
    DEFAULT_PROFILE,
    CodeOption,
    DatasetArgument,
    DeviceOption,
    OverrideOption,
    ProfileOption,
    expect,
    plan,
)
from hkd.store.artifacts import Record, write_text


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(calibrate)


def calibrate(
    dataset: DatasetArgument,
    splits: Annotated[int, typer.Option(help="Random splits of the real images into halves.")] = 3,
    n: Annotated[int, typer.Option(help="Real images taken, in a seeded order; each half has n/2.")] = 4000,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_code: CodeOption = None,
) -> None:
    """Score real images against real ones, clean and corrupted, in every implementation; table and figure."""
    import numpy as np

    from hkd.data.images import ImageSet
    from hkd.data.sources import shuffled_subset
    from hkd.experiment.extractors import eyes
    from hkd.figures.save import save
    from hkd.plan.scores import extractor_files
    from hkd.report.csv import to_csv
    from hkd.studies.calibration.calibrate import calibrate as measure
    from hkd.studies.calibration.figure import calibration, caption

    chosen = plan(profile, config)
    expect(chosen.metrics_code(), expect_code, "code of the metrics")
    folder = Path(chosen.layout.data(dataset, chosen.reference_split(dataset)))
    inputs: list[Path | str] = [folder / "images.npy", *extractor_files(chosen, dataset)]
    record = Record("calibrate", {"n": n, "splits": splits}, inputs=inputs, device=device)
    images = ImageSet(folder)
    images.verify()
    kept = np.sort(shuffled_subset(0, len(images), min(n, len(images))))
    labels = None if images.class_numbers is None else np.asarray(images.class_numbers)[kept]
    own = eyes(chosen, dataset, device)["own"]
    rows = measure(np.asarray(images.pixels)[kept], labels, own, splits=splits)
    out = Path(f"{chosen.layout.root}/calibration.csv")
    write_text(out, to_csv([{k: _digits(v) for k, v in row.items()} for row in rows], tuple(rows[0])))
    record.write(out)
    text = caption(rows, dataset=chosen.dataset(dataset).title)
    for path in save(calibration(rows), f"{chosen.profile.figures}/calibration", text):
        record.write(path)


def _digits(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
