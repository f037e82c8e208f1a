"""`hkd budget-curve`, `hkd budget`: distances against network evaluations, at equal budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands
    from hkd.plan.runs import Plan


def register(cli: Commands) -> None:
    """Add this study's commands."""
    cli.add(budget_curve, group="compare and report", short="Measure a run of the matched comparison")
    cli.add(budget, group="compare and report", short="Compare methods at equal network evaluations")


def budget_curve(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Measure one run at its milestones: images in one step, and their distance to the reference."""
    from hkd.experiment.extractors import doubt
    from hkd.experiment.quality import MilestoneQuality
    from hkd.store.artifacts import map_arrays
    from hkd.store.atomic import write_json
    from hkd.store.records import read_record
    from hkd.studies.budget.curve import points
    from hkd.studies.budget.plan import CURVE, NFE, settings
    from hkd.training.milestones import kept_milestones

    plan = job.plan(benchmark, config)
    work = CURVE.work(plan, dataset=dataset, method=method, seed=seed).expect(expect_digest)
    study, to = settings(plan), job.pick_device(device)
    record = job.record(work, to, seed=seed)
    kept = kept_milestones(work.input("milestones"))
    record.settings = study.model_dump()
    quality = MilestoneQuality(
        work.input("config"),
        work.input("extractor"),
        map_arrays(work.input("reference"), "reference")["own_A"],
        seed=seed,
        images=study.images,
        batch=study.batch,
        nfe=NFE,
        to=to,
    )
    trained = read_record(work.input("weights"), "train")
    content = {
        "method": method,
        "seed": seed,
        "n": study.images,
        "steps": kept.total,
        "points": points(quality, kept),
        "parameters": trained["budget"]["params"],
    }
    content |= {"doubt": told} if (told := doubt(plan, dataset)) else {}
    write_json(work.out(), content)
    record.write(work.out())


def budget(
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Put the curves of all methods beside what they cost, as a table and a figure."""
    from hkd.report.csv import to_csv
    from hkd.store.artifacts import read_json
    from hkd.store.atomic import write_text
    from hkd.studies.budget.figure import budget_curves, caption
    from hkd.studies.budget.plan import TABLE, curve, dataset, runs, settings
    from hkd.studies.budget.table import COLUMNS, check_matched, lines, mean_curves

    plan = job.plan(benchmark, config)
    work, study, on = TABLE.work(plan).expect(expect_digest), settings(plan), dataset(plan)
    titles = {method: plan.title(on, method) for method in runs(plan)}
    record = job.record(work)
    table: list[dict[str, Any]] = []
    doubts: list[str] = []
    for method in runs(plan):
        for seed in plan.seeds:
            measured = read_json(curve(plan, method, seed), "budget-curve")
            doubts.append(measured.get("doubt", ""))
            found = lines(measured, titles[method], _cost(plan, method, seed))
            check_matched(method, found, study.evaluations)
            table.extend(found)
    write_text(work.out("table"), to_csv(table, COLUMNS))
    record.write(work.out("table"))
    text = caption(
        dataset=plan.dataset(on).title,
        n=study.images,
        seeds=plan.benchmark.seeds,
        benchmark=plan.benchmark.benchmark,
        doubt=max(doubts, default=""),
    )
    job.save_figure(budget_curves(mean_curves(table), titles), out, text, record)


def _cost(plan: Plan, method: str, seed: int) -> Any:
    from hkd.studies.budget.plan import behind, dataset
    from hkd.studies.budget.table import cost, without_pairs

    on, stands_on = dataset(plan), behind(plan, method)
    bases = [without_pairs(_budget(plan, on, base, 0), _own_pairs(plan, on, base)) for base in stands_on.runs]
    sets = [_evaluations(plan, on, name) for name in stands_on.sets]
    return cost(_budget(plan, on, method, seed), sets, bases, _own_pairs(plan, on, method))


def _budget(plan: Plan, dataset: str, method: str, seed: int) -> dict[str, Any]:
    from hkd.settings.origins import ConfigError
    from hkd.store.records import read_record

    found = dict(read_record(plan.layout.run(dataset, method, seed).weights, "train")["budget"])
    if found["network_evals"] is None:
        raise ConfigError(
            f"released.{dataset}.{method}: what released weights cost is not known, and this study counts it; "
            "leave them out of its benchmark"
        )
    return found


def _own_pairs(plan: Plan, dataset: str, method: str) -> int:
    """Return the evaluations of the set that a run trained here reads: its record counts them as its own."""
    kind, _, name = plan.run(dataset, method).feed.partition("/")
    if kind != "trajectories" or plan.given(dataset, method):
        return 0
    return _evaluations(plan, dataset, name)


def _evaluations(plan: Plan, dataset: str, name: str) -> int:
    from hkd.store.artifacts import read_json

    return int(read_json(plan.layout.trajectories(dataset, name).manifest, "trajectories")["network_evals"])
