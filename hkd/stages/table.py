"""`hkd table`, `hkd show`, `hkd readme`: what was measured beside what was printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    import pandas as pd

    from hkd.cli import Commands
    from hkd.plan.runs import Plan
    from hkd.report.compare import Paper

TableArgument = Annotated[str, typer.Argument(help="Table of the benchmark: table1, table3, ...")]


def register(cli: Commands) -> None:
    """Add this file's commands."""
    cli.add(table, group="stages", short="Write a table as CSV and Markdown")
    cli.add(show, group="compare and report", short="Print finished tables")
    cli.add(readme, group="maintain", short="Put Table 1 and its samples into the README")


def table(
    name: TableArgument,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Write a table as CSV and Markdown from the metrics of its runs."""
    from hkd.plan import rows
    from hkd.plan.stages import TABLE
    from hkd.report.collect import chosen_by_the_score, collect, mixed_codes, other_starts, without_diverged
    from hkd.report.tables import write

    plan = job.plan(benchmark, config)
    work = TABLE.work(plan, table=name).expect(expect_digest)
    record = job.record(work)
    frame, paper = _frame(plan, name), _paper(plan, name)
    lines = collect(without_diverged(rows.metrics(plan, name))[0])
    remarks = [*mixed_codes(lines), *other_starts(lines), *chosen_by_the_score(lines)]
    verdicts = Path(f"{plan.layout.verdicts(plan.table(name).rows)}.md")
    judged = verdicts if rows.printed(plan, plan.table(name)) else None
    stem, teachers = plan.layout.table(name), rows.teachers(plan, name)
    for path in write(stem, frame, rows.rows(plan, name), paper, remarks, verdicts=judged, teachers=teachers):
        record.write(path)


def show(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tables of the benchmark; by default those that exist.")
    ] = None,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Print finished tables to the terminal."""
    from hkd.plan import rows
    from hkd.report.terminal import show as print_view
    from hkd.report.view import stored_lines, view
    from hkd.store.refusals import ArtifactError

    plan = job.plan(benchmark, config)
    finished = [name for name in plan.tables if Path(f"{plan.layout.table(name)}.csv").exists()]
    if not (names or finished):
        first = plan.layout.table(next(iter(plan.tables), "table1"))
        raise ArtifactError(f"{plan.layout.root}: no finished table; run `snakemake --cores all {first}.csv` first")
    for name in names or finished:
        paper, stem = _paper(plan, name), plan.layout.table(name)
        lines = stored_lines(Path(f"{stem}.csv"))
        print_view(view(lines, paper, rows.notes(plan, name), rows.teachers(plan, name)), [f"{stem}.csv", f"{stem}.md"])


def readme(
    file: Annotated[Path, typer.Option(help="Page whose section is replaced.")] = Path("README.md"),
    section: Annotated[
        str, typer.Option(help="Name in its lines '<!-- NAME:start -->' and '<!-- NAME:end -->'.")
    ] = "table1",
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Put the measured rows of Table 1 into a section of the README, and draw their samples into docs beside it."""
    from hkd.plan import rows
    from hkd.report.collect import lines_of
    from hkd.report.markdown import between, short
    from hkd.report.view import view
    from hkd.stages.figure import draw_for_page
    from hkd.store.atomic import write_text

    plan = job.plan(benchmark, config)
    lines, paper = lines_of(_frame(plan, "table1")), _paper(plan, "table1")
    shown = short(view(lines, paper, teachers=rows.teachers(plan, "table1")))
    page, name = between(file, section, shown), "samples" if section == "table1" else section
    draw_for_page(plan, "table1", file.parent / "docs" / f"{name}.png")
    write_text(file, page)


def _paper(plan: Plan, name: str) -> Paper:
    from hkd.report.compare import Paper

    spec = plan.table(name)
    return Paper.read(plan.configs / "reported" / f"{spec.reported}.yaml", spec.rows)


def _frame(plan: Plan, name: str) -> pd.DataFrame:
    from hkd.plan import rows
    from hkd.plan.scores import common_n
    from hkd.report.collect import collect, without_diverged
    from hkd.report.tables import table as build

    scored, lost = without_diverged(rows.metrics(plan, name))
    lines, columns = collect(scored), plan.table(name).columns
    found = rows.rows(plan, name)
    n_common, real = common_n(plan, name), _real(plan, name, {int(n) for n in lines["n_generated"]})
    known = {(method, nfe): values for method, nfe, values in rows.trainings(plan, name)}
    return build(
        *(found, lines, _paper(plan, name)),
        columns=columns,
        n_common=n_common,
        real=real,
        diverged=lost,
        trainings=known,
        spent=rows.spent(plan, name),
    )


def _real(plan: Plan, name: str, sizes: set[int]) -> dict[int, dict[str, float]]:
    """Return the scores of real images at the sizes of a table's rows, if it shows anchors."""
    from hkd.metrics.real import real_scores
    from hkd.plan.stages import TABLE
    from hkd.settings.columns import ALWAYS
    from hkd.store.artifacts import map_arrays

    work = TABLE.work(plan, table=name)
    if "reference" not in work.definition.inputs:
        return {}
    asked = dict.fromkeys((*ALWAYS, *plan.table(name).columns))
    return real_scores(map_arrays(work.input("reference"), "reference"), asked, sizes)
