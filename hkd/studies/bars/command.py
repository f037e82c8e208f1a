"""`hkd bars`: what was measured against the quality bars of the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this study's command."""
    cli.add(bars, group="compare and report", short="Hold results against the quality bars")


def bars(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Hold what was measured against the quality bars of the benchmark; the table says which are met."""
    from hkd.report.csv import to_csv
    from hkd.store.atomic import write_text
    from hkd.studies.bars.judge import COLUMNS, judge, summary
    from hkd.studies.bars.plan import TABLE, asked, dataset, settings, values
    from hkd.studies.bars.values import value_of

    plan = job.plan(benchmark, config)
    work = TABLE.work(plan).expect(expect_digest)
    record = job.record(work)
    data, drawn = plan.dataset(dataset(plan)).data, settings(plan).real_images
    found = {name: value_of(value, data, drawn) for name, value in values(plan).items()}
    lines = judge(asked(plan), found)
    write_text(work.out(), to_csv(lines, COLUMNS))
    record.write(work.out())
    for line in summary(lines):
        typer.echo(line)
