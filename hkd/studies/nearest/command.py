"""`hkd nearest`: samples beside their nearest training images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this study's command."""
    cli.add(nearest, group="compare and report", short="Show samples beside their nearest training images")


def nearest(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Hold samples against the training images, and real images against each other; table and figure.

    A sample is close if it sticks to one training image as the closest share (`studies.nearest.near`) of real images
    stick to another. Of each row the table has the share of close samples (`close`, of real images `real_close`), to
    how many different training images they are close (`images`), and what follows (`said`).
    """
    from hkd.data.image_set import ImageSet
    from hkd.experiment.extractors import extractors, feature_cache
    from hkd.report.csv import to_csv
    from hkd.seeding import permutation
    from hkd.store.artifacts import map_arrays
    from hkd.store.atomic import write_text
    from hkd.studies.nearest.figure import caption, nearest_pairs, pairs
    from hkd.studies.nearest.neighbours import COLUMNS, Measure, line, summary, training_features
    from hkd.studies.nearest.neighbours import nearest as neighbours
    from hkd.studies.nearest.plan import PART, found_rows, settings

    plan = job.plan(benchmark, config)
    work, study = PART.work(plan).expect(expect_digest), settings(plan)
    to, seen = str(job.pick_device(device)), work.settings["view"]
    record, on = job.record(work, to), plan.table(study.table).dataset
    images = ImageSet(work.input("images").parent).pixels
    networks, scratch = extractors(plan, on, to), work.out().parent
    training = training_features(images, networks, seen, feature_cache(plan), scratch)
    taken = permutation(0, "nearest", 0, len(training))[: study.images]
    measure = Measure.of(neighbours(training[taken], training, taken), study.near)
    lines, shown = [], []
    rows = zip(found_rows(plan), work.inputs("features"), work.inputs("samples"), strict=True)
    for (title, nfe, _), features, samples in rows:
        found = neighbours(map_arrays(features, "features")[seen], training)
        lines.append(line(title, nfe, found, measure, seen))
        made = map_arrays(samples, "sample")["images"]
        shown.append(pairs(title, nfe, made, images, found, study.shown))
    write_text(work.out(), to_csv(lines, COLUMNS))
    record.write(work.out())
    text = caption(shown, measure, dataset=plan.dataset(on).title, view=seen, said=summary(lines))
    job.save_figure(nearest_pairs(shown), Path(work.outputs["pdf"]), text, record)
    for said in summary(lines):
        typer.echo(said)
