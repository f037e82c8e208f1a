"""`hkd latency`, `hkd latency-table`: how long finished runs take to make images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this study's commands."""
    cli.add(latency, group="compare and report", short="Time how a finished run makes images")
    cli.add(latency_table, group="compare and report", short="Put the seconds of all runs beside the printed ones")


def latency(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    nfe: job.NfeOption,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Time how a finished run makes images: median and quartiles come from the seconds of every call."""
    from hkd import interrupt
    from hkd.store.atomic import write_json
    from hkd.studies.latency.plan import TIMING, settings
    from hkd.studies.latency.timed import timed

    plan = job.plan(benchmark, config)
    work = TIMING.work(plan, dataset=dataset, method=method, seed=seed, nfe=nfe).expect(expect_digest)
    study, to = settings(plan), job.pick_device(device)
    record = job.record(work, to, seed=seed)
    with interrupt.graceful():
        found = timed(
            work.input("weights"),
            to,
            seed=seed,
            nfe=nfe,
            batch=study.batch,
            warm_up=study.warm_up,
            repeats=study.repeats,
        )
    about = {"method": method, "seed": seed, "nfe": nfe, "precision": plan.benchmark.compute.evaluation}
    write_json(work.out(), {**about, **found})
    record.write(work.out())


def latency_table(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Write the seconds an image of every row of Table 6, as CSV, Markdown and LaTeX; `hkd compare` judges them."""
    from hkd.report.csv import to_csv
    from hkd.store.atomic import write_text
    from hkd.studies.latency import table as text
    from hkd.studies.latency.plan import TABLE, rows, table, timings
    from hkd.studies.latency.read import read_timing

    plan = job.plan(benchmark, config)
    work = TABLE.work(plan).expect(expect_digest)
    record = job.record(work)
    lines = [
        text.line(row.label, row.run, row.answer, row.nfe, row.seconds, [read_timing(f) for f in timings(plan, row)])
        for row in rows(plan)
    ]
    about = text.about(lines, plan.dataset(table(plan).dataset).title, plan.benchmark.benchmark)
    made = {
        "csv": to_csv(lines, text.COLUMNS),
        "markdown": text.markdown(lines, about),
        "latex": text.latex(lines, about),
    }
    for name, content in made.items():
        write_text(work.out(name), content)
        record.write(work.out(name))
