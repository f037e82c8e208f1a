"""`hkd ambiguity`, `hkd figure ambiguity`: which of the choices that the paper leaves open matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands
    from hkd.plan.runs import Plan


def register(cli: Commands) -> None:
    """Add this study's commands."""
    cli.add(ambiguity, group="compare and report", short="Say which open choices of the paper matter")
    cli.add_figure(ambiguity_figure, "ambiguity")


def ambiguity(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Hold every open choice's change of FDn against the smallest one that the study could have detected."""
    from hkd.plan.check import check_old_results
    from hkd.store.atomic import write_text
    from hkd.studies.ambiguity.plan import CENTRE, NAME, TABLE, dataset, settings
    from hkd.studies.ambiguity.table import design_facts, lines, summary, to_csv

    plan = job.plan(benchmark, config)
    check_old_results(plan)
    work, study = TABLE.work(plan).expect(expect_digest), settings(plan)
    record = job.record(work)
    centre, *variations = _arms(plan)
    found, design = lines(centre, variations, level=study.level, power=study.power)
    write_text(work.out(), to_csv(found))
    run = plan.run(dataset(plan), f"{NAME}/{CENTRE}")
    record.write(
        work.out(),
        steps=run.training.steps,
        seeds=study.seeds,
        images=run.sampling.n_samples,
        centre_fdn=list(centre.scores),
        **design_facts(design),
    )
    for line in summary(found, design):
        typer.echo(line)


def _arms(plan: Plan) -> list[Any]:
    """Return the centre and every variation of the study, with what was measured of them."""
    from hkd.store.artifacts import read_json
    from hkd.studies.ambiguity.plan import CENTRE, arms, settings
    from hkd.studies.ambiguity.table import Arm, measured

    files = arms(plan)
    contents = {name: [read_json(path, "metrics") for path in paths] for name, paths in files.items()}
    found = [Arm(CENTRE, "", "", "", **measured(contents[CENTRE]))]
    for name, variation in settings(plan).chosen.items():
        facts = variation.model_dump(include={"choice", "value", "against", "paper", "not_run"})
        found.append(Arm(name, **facts, **measured(contents.get(name, []))))
    return found


def ambiguity_figure(
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Bars: what each open choice changes, beside the smallest change that the study could have detected."""
    from hkd.store.records import read_record
    from hkd.studies.ambiguity.figure import caption, tornado
    from hkd.studies.ambiguity.plan import FIGURE, dataset, settings
    from hkd.studies.ambiguity.table import from_csv

    plan = job.plan(benchmark, config)
    work, study = FIGURE.work(plan).expect(expect_digest), settings(plan)
    record, table = job.record(work), work.input("table")
    found, facts = from_csv(table), read_record(table, "ambiguity")
    on = dataset(plan)
    titles = {"dataset": plan.dataset(on).title, "centre": plan.title(on, study.centre)}
    text = caption(found, facts, **titles, scale=plan.benchmark.scale, level=study.level, power=study.power)
    job.save_figure(
        tornado(found, detectable_percent=facts["detectable_percent"], level=study.level), out, text, record
    )
