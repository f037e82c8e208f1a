"""`hkd readings`, `hkd fingerprint`: what HKD scores before training under every reading of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from hkd import interrupt, job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this study's commands."""
    cli.add(readings, group="compare and report", short="Score HKD before training, reading by reading")
    cli.add(fingerprint, group="compare and report", short="Hold the readings against the paper's Table 5")


def readings(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Make images with the teacher's weights, cut as HKD's, under every reading, and score each."""
    from tqdm import tqdm

    from hkd.data.image_set import image_shape
    from hkd.experiment.extractors import extractors
    from hkd.experiment.quality import as_arrays
    from hkd.store.artifacts import Arrays, map_arrays
    from hkd.store.atomic import write_json
    from hkd.store.chunks import clear, in_parts
    from hkd.store.records import identity
    from hkd.studies.fingerprint.plan import MEASURED, dataset, settings
    from hkd.studies.fingerprint.readings import Reading, released_weights, score, weights_of_run

    plan = job.plan(benchmark, config)
    work = MEASURED.work(plan).expect(expect_digest)
    study, on, to = settings(plan), dataset(plan), job.pick_device(device)
    record = job.record(work, to, seed=study.seed)
    asked = [Reading(**values) for values in work.settings["readings"]]
    given = work.input("weights")
    teacher = released_weights(given) if study.weights else weights_of_run(given)
    shape, network = image_shape(work.input("images").parent), extractors(plan, on, str(to))["own"]
    reference = map_arrays(work.input("reference"), "reference")["own_A"]
    parts = work.out().with_suffix(".parts")
    with (
        interrupt.only_writer(parts),
        interrupt.graceful(),
        tqdm(desc="readings", unit="image", disable=None) as bar,
    ):

        def tick(count: int) -> None:
            interrupt.check()
            bar.update(count)

        def measured(number: int, _: int) -> Arrays:
            own = {"seed": study.seed, "images": study.images, "to": to, "tick": tick}
            return as_arrays(
                score(asked[number], plan.run(on, study.run), shape, teacher, network, reference, **own)  # type: ignore[arg-type]
            )

        name = identity(work.digest, record.inputs)
        found = in_parts(parts, name, len(asked), 1, measured, interrupt.check)
    values = {key: array.tolist() for key, array in found.items()}
    write_json(work.out(), {"readings": work.settings["readings"], "metric": network.name, "n": study.images, **values})
    record.write(work.out(), n=study.images)
    clear(parts)


def fingerprint(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Hold every reading's score before training, and what averages keep of it, against the paper's Table 5."""
    from hkd.report.csv import to_csv
    from hkd.store.artifacts import read_json
    from hkd.store.atomic import write_text
    from hkd.studies.fingerprint.plan import TABLE, comparable, printed, settings
    from hkd.studies.fingerprint.table import COLUMNS, lines, summary

    plan = job.plan(benchmark, config)
    work, study = TABLE.work(plan).expect(expect_digest), settings(plan)
    record = job.record(work)
    found = lines(
        read_json(work.input("readings"), "readings"),
        study.averaging,
        printed(plan),
        epoch_steps=study.epoch_steps,
        batch=study.batch,
        limit=study.share_limit,
        comparable=comparable(plan),
    )
    write_text(work.out(), to_csv(found, COLUMNS))
    record.write(work.out())
    for line in summary(found):
        typer.echo(line)
