"""`hkd known-rates`, `spectrum-courses`, `determined` and its figure: what determines the spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands
    from hkd.plan.work import Work


def register(cli: Commands) -> None:
    """Add this study's commands."""
    cli.add(known_rates, group="compare and report", short="Fit operators to data whose rates are known")
    cli.add(spectrum_courses, group="compare and report", short="Compare spectra over training")
    cli.add(determined, group="compare and report", short="Say what determines the spectrum")
    cli.add_figure(determined_figure, "determined")


def known_rates(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Fit operators to Gaussian data of known rates, and compare their spectra as those of networks are compared."""
    from tqdm import tqdm

    from hkd.store.atomic import write_json
    from hkd.studies.determined.known_rates import Known, controlled
    from hkd.studies.determined.plan import CONTROLS, KNOWN, settings

    plan = job.plan(benchmark, config)
    work, study = KNOWN.work(plan).expect(expect_digest), settings(plan)
    record, about = job.record(work), study.gaussian
    found = controlled(
        Known(**about.model_dump(exclude={"seeds"})),
        work.settings["time"],
        CONTROLS,
        seeds=about.seeds,
        orders=study.orders,
        draws=study.draws,
        watch=lambda seeds, kind: tqdm(seeds, desc=kind, unit="fit", disable=None),
    )
    write_json(work.out(), found)
    record.write(work.out())


def spectrum_courses(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Compare the spectra of students at each milestone: of other seeds, other teachers, other starts."""
    from pathlib import Path

    from tqdm import tqdm

    from hkd.store.atomic import write_json
    from hkd.studies.determined.courses import course_of_run, lines
    from hkd.studies.determined.plan import COURSES, comparisons, run_files, settings, trained

    plan = job.plan(benchmark, config)
    work, study = COURSES.work(plan).expect(expect_digest), settings(plan)
    record, courses = job.record(work), {}
    for student in tqdm(trained(plan), desc="spectra", unit="run", disable=None):
        config_file, milestones = map(Path, run_files(plan, student))
        courses[student] = course_of_run(config_file, milestones)
    found = lines(comparisons(plan), courses, orders=study.orders, draws=study.draws)
    write_json(work.out(), {"lines": found})
    record.write(work.out())


def determined(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Say what determines the spectrum: a table of agreement after the first steps and at the end, and a text."""
    from hkd.report.csv import to_csv
    from hkd.store.atomic import write_text
    from hkd.studies.determined.plan import FIXED, FREE, TABLE
    from hkd.studies.determined.table import COLUMNS, rows, text, verdict

    plan = job.plan(benchmark, config)
    work = TABLE.work(plan).expect(expect_digest)
    record, asked = job.record(work), work.settings
    measured, fits = _measured(work)
    found = rows(measured, asked["kinds"], asked["orders"], above=asked["above"])
    write_text(work.out("table"), to_csv(found, COLUMNS))
    answer = verdict(found, control=FIXED, free=FREE, order=asked["orders"][0])
    write_text(work.out("text"), text(found, fits, answer, f"{asked['title']}, benchmark {asked['benchmark']}"))
    for path in work.outputs.values():
        record.write(path)


def determined_figure(
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Agreement of spectra over training: other seeds, teachers and starts, beside data of known rates."""
    from hkd.studies.determined import figure
    from hkd.studies.determined.plan import FIGURE

    plan = job.plan(benchmark, config)
    work = FIGURE.work(plan).expect(expect_digest)
    record, asked = job.record(work), work.settings
    measured, fits = _measured(work)
    order = asked["orders"][0]
    text = figure.caption(
        dataset=asked["title"], benchmark=asked["benchmark"], order=order, above=asked["above"], fits=fits
    )
    drawn = figure.determined_figure(measured, asked["kinds"], order=order, above=asked["above"])
    job.save_figure(drawn, out, text, record)


def _measured(work: Work) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the lines of the control and of the students, and how well the control fits."""
    from hkd.store.artifacts import read_json

    known = read_json(work.input("known"), "known-rates")
    return [*known["lines"], *read_json(work.input("courses"), "spectrum-courses")["lines"]], known["fits"]
