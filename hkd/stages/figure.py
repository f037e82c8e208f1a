"""`hkd figure`: pictures of the rows of a table, from stored arrays; restyling one needs no training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hkd.cli import Commands
    from hkd.plan.runs import Plan

TableArgument = Annotated[str, typer.Argument(help="Table of the benchmark: table1, table3, ...")]


def register(cli: Commands) -> None:
    """Add this file's commands."""
    cli.add_figure(samples)
    cli.add_figure(ablations)


def samples(
    table: TableArgument,
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """A row of images for each row of a table, every column from the same noise."""
    from hkd.plan.stages import SAMPLES_FIGURE

    plan = job.plan(benchmark, config)
    record = job.record(SAMPLES_FIGURE.work(plan, table=table).expect(expect_digest))
    grid, text = _samples(plan, table)
    job.save_figure(grid, out, text, record)


def ablations(
    table: TableArgument,
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Bars: each variant's FDn, mean and spread over seeds, beside what the paper printed."""
    from hkd.figures.ablations import Bar, ablation_bars, caption
    from hkd.plan.rows import cells
    from hkd.plan.stages import ABLATIONS_FIGURE
    from hkd.report.collect import collect, without_diverged

    plan = job.plan(benchmark, config)
    work = ABLATIONS_FIGURE.work(plan, table=table).expect(expect_digest)
    spec, record = plan.table(table), job.record(work)
    bars = []
    for row, paths in cells(plan, table):
        scored, lost = without_diverged(paths)
        values = tuple(collect(scored)["fdn"].tolist()) if scored and not lost else ()
        title = plan.title(spec.dataset, row.method) if row.method else row.label
        bars.append(Bar((row.method or row.label).split("/")[-1], title, values, row.fid))
    scale = f"benchmark {plan.benchmark.benchmark}, averaged weights at the end of training"
    text = caption(bars, quantity="FDn", dataset=plan.dataset(spec.dataset).title, checkpoints=scale)
    job.save_figure(ablation_bars(bars, quantity="FDn"), out, text, record)


def draw_for_page(plan: Plan, table: str, out: Path) -> None:
    """Draw the samples of a table's rows as the PNG `out` that stands above the table on a page."""
    from hkd.figures.save import save_picture

    grid, text = _samples(plan, table, page=True)
    save_picture(grid, out, text)


def _samples(plan: Plan, table: str, *, page: bool = False) -> tuple[Figure, str]:
    """Return the samples of a table's rows as a figure, in one block or as a page shows them, and its caption."""
    from hkd.figures.samples import SampleRow, caption, page_layout, sample_grid
    from hkd.plan.rows import row_title
    from hkd.plan.scores import common_n
    from hkd.plan.stages import SAMPLES_FIGURE
    from hkd.report.collect import collect, lines_of, shown_distance, without_diverged
    from hkd.store.artifacts import map_arrays

    work, spec = SAMPLES_FIGURE.work(plan, table=table), plan.table(table)
    rows = []
    scored, lost = without_diverged(work.inputs("metrics"))
    pairs = zip(work.inputs("samples"), work.inputs("metrics"), strict=True)
    drawn = [path for path, metrics in pairs if Path(metrics) in scored]  # of the others there are no images
    for path, line in zip(drawn, lines_of(collect(scored)), strict=True):
        images = map_arrays(path, "sample")["images"][: plan.benchmark.samples_shown]
        weights = f"{line['method']} ({line['route']}, {line['settings_digest']:.8})"
        title = row_title(plan, spec, line["method"])
        fdn, few = shown_distance(line, common_n(plan, table))
        rows.append(
            SampleRow(title, images, nfe=line["nfe"], fdn=fdn, few=few, route=line["route"], checkpoint=weights)
        )
    absent = [(row_title(plan, spec, run), why) for (run, _), why in lost.items()]
    shown = plan.benchmark.samples_shown
    columns, blocks = page_layout(len(rows), columns=shown) if page else (shown, 1)
    text = caption(rows, columns=columns, dataset=plan.dataset(spec.dataset).title, seed=0, absent=absent)
    return sample_grid(rows, columns=columns, blocks=blocks), text
