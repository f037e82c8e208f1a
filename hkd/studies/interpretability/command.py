"""`hkd spectrum`, `closure`, `band-factors`, `agreement`, `interpretability` and their figures: is HKD what it says?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands
    from hkd.plan.runs import Plan

OrderArgument = Annotated[str, typer.Argument(help="What modes are ordered by: alpha, abs_alpha or abs_eig.")]


def register(cli: Commands) -> None:
    """Add this study's commands."""
    cli.add(spectrum, group="look and edit", short="Analyse a run's spectrum: bands, what they decode to and add")
    cli.add(closure, group="compare and report", short="Hold evolved latents against encoded states")
    cli.add(band_factors, group="compare and report", short="Test whether bands of the spectrum carry factors")
    cli.add(agreement, group="compare and report", short="Compare the spectra of seeds and initial operators")
    cli.add(interpretability, group="compare and report", short="Say what latents and spectrum of HKD mean")
    cli.add_figure(spectrum_figure, "spectrum")
    cli.add_figure(interpretability_figure, "interpretability")


def spectrum(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Analyse a run's spectrum: eigenvalues, bands, what each decodes to and what it adds over time."""
    from tqdm import tqdm

    from hkd.store.artifacts import save_arrays
    from hkd.studies.interpretability.analysis import spectrum_of_run
    from hkd.studies.interpretability.plan import SPECTRUM, spectrum_settings

    plan = job.plan(benchmark, config)
    work = SPECTRUM.work(plan, dataset=dataset, method=method, seed=seed).expect(expect_digest)
    study, to = spectrum_settings(plan), job.pick_device(device)
    record = job.record(work, to, seed=seed)
    with tqdm(total=study.times, desc=f"{method} seed {seed} spectrum", unit="time", disable=None) as bar:
        arrays = spectrum_of_run(
            work.input("weights"),
            seed,
            to,
            images=study.images,
            order_by=study.order_by,
            ascending=study.ascending,
            edges=study.edges,
            times=study.times,
            substitutes=study.substitutes,
            groups=study.groups,
            moments=study.moments,
            batch=study.batch,
            tick=bar.update,
        )
    save_arrays(work.out(), arrays, undefined=True)
    record.write(work.out(), n=study.images)


def closure(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Evolve latents of x_T along held-out trajectories, and hold them against encoded states, states and teacher."""
    from tqdm import tqdm

    from hkd.store.atomic import write_json
    from hkd.studies.interpretability.closure import closure_of_run
    from hkd.studies.interpretability.plan import CLOSURE, settings

    plan = job.plan(benchmark, config)
    work = CLOSURE.work(plan, dataset=dataset, method=method, seed=seed).expect(expect_digest)
    study, to = settings(plan), job.pick_device(device)
    record = job.record(work, to, seed=seed)
    content = closure_of_run(
        work.input("weights"),
        work.input("teacher"),
        work.input("trajectories").parent,
        to,
        most=study.trajectories,
        batch=study.batch,
        watch=lambda batches: tqdm(batches, desc=f"{method} seed {seed} closure", unit="batch", disable=None),
    )
    write_json(work.out(), content, undefined=True)
    record.write(work.out(), n=content["n"])


def band_factors(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    order_by: OrderArgument,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Swap bands between images and read which factors follow, beside a permutation null and a swap of resolutions."""
    from tqdm import tqdm

    from hkd.experiment.extractors import doubt
    from hkd.store.atomic import write_json
    from hkd.studies.interpretability.band_swaps import factors_of_run, readings
    from hkd.studies.interpretability.plan import FACTORS, settings, spectrum_settings

    plan = job.plan(benchmark, config)
    work = FACTORS.work(plan, dataset=dataset, method=method, seed=seed, order=order_by).expect(expect_digest)
    study, cuts, to = settings(plan), spectrum_settings(plan), job.pick_device(device)
    record, total = job.record(work, to, seed=seed), readings(cuts.edges, study.draws)
    with tqdm(total=total, desc=f"{method} seed {seed} bands by {order_by}", unit="swap", disable=None) as bar:
        content = factors_of_run(
            work.input("weights"),
            work.input("extractor"),
            seed,
            to,
            order_by=work.settings["order_by"],
            ascending=cuts.ascending,
            edges=cuts.edges,
            pairs=study.pairs,
            draws=study.draws,
            tolerance=study.tolerance,
            batch=study.batch,
            preprocessing=plan.extractor(dataset, "metric").preprocessing,
            tick=bar.update,
        )
    content |= {"doubt": told} if (told := doubt(plan, dataset, "metric")) else {}
    write_json(work.out(), content, undefined=True)
    record.write(work.out(), n=study.pairs)


def agreement(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Compare the spectra of seeds, and of operators that started elsewhere, mode by mode."""
    from tqdm import tqdm

    from hkd.store.atomic import write_json
    from hkd.studies.interpretability.agreements import agreements
    from hkd.studies.interpretability.plan import AGREEMENT, dataset, pairs, settings

    plan = job.plan(benchmark, config)
    study, on = settings(plan), dataset(plan)
    work = AGREEMENT.work(plan, dataset=on).expect(expect_digest)
    record = job.record(work)
    lines = agreements(
        pairs(plan, on),
        study.orders,
        study.draws,
        watch=lambda compared: tqdm(compared, desc="agreement of spectra", unit="pair", disable=None),
    )
    write_json(work.out(), {"pairs": lines}, undefined=True)
    record.write(work.out())


def interpretability(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Answer the questions from what was measured: a table with nulls and decisions, and a paragraph in plain words."""
    from hkd.report.csv import to_csv
    from hkd.store.atomic import write_text
    from hkd.studies.interpretability.answers import COLUMNS
    from hkd.studies.interpretability.evidence import evidence
    from hkd.studies.interpretability.findings import findings
    from hkd.studies.interpretability.plan import TABLE, dataset, settings, titles

    plan = job.plan(benchmark, config)
    work, study, named = TABLE.work(plan).expect(expect_digest), settings(plan), titles(plan)
    record = job.record(work)
    rows = evidence(_measured(plan), study, named)
    write_text(work.out("table"), to_csv([row.cells() for row in rows], COLUMNS))
    about = f"{plan.dataset(dataset(plan)).title}, benchmark {plan.benchmark.benchmark}, {len(plan.seeds)} seeds"
    write_text(work.out("text"), findings(rows, study, named, about))
    for path in work.outputs.values():
        record.write(path)


def _measured(plan: Plan) -> dict[str, Any]:
    """Return what the study measured: by question, run and, where there are several, order or kind of file."""
    from hkd.store.artifacts import read_json
    from hkd.studies.interpretability.plan import (
        agreement_file,
        closure_files,
        factor_files,
        loss_files,
        quality_files,
    )

    def contents(stage: str, paths: Sequence[str]) -> list[Any]:
        return [read_json(path, stage, undefined=True) for path in paths]

    def quality(paths: Sequence[str]) -> dict[str, list[Any]]:
        scored = contents("metrics", paths)
        return {
            "fdn": [content["metrics"]["fdn"] for content in scored],
            "doubts": [text for content in scored for text in content["protocols"]["fdn"]["estimate"]],
        }

    losses = {
        run: {**quality(files["metrics"]), "errors": contents("trajectory-error", files["errors"])}
        for run, files in loss_files(plan).items()
    }
    return {
        "closure": {run: contents("closure", paths) for run, paths in closure_files(plan).items()},
        "quality": {run: quality(paths) for run, paths in quality_files(plan).items()},
        "agreement": read_json(agreement_file(plan), "agreement", undefined=True)["pairs"],
        "factors": {
            run: {order: contents("band-factors", paths) for order, paths in orders.items()}
            for run, orders in factor_files(plan).items()
        },
        "losses": losses,
    }


def spectrum_figure(
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Eigenvalues by level, decoded bands, what each adds over time, and its frequencies."""
    from hkd.store.artifacts import read_arrays
    from hkd.studies.interpretability import spectrum_figure as figure
    from hkd.studies.interpretability.plan import SPECTRUM_FIGURE, spectrum_dataset, spectrum_settings

    plan = job.plan(benchmark, config)
    work, study = SPECTRUM_FIGURE.work(plan).expect(expect_digest), spectrum_settings(plan)
    record, on = job.record(work), spectrum_dataset(plan)
    arrays = read_arrays(work.input("spectrum"), "spectrum")
    text = figure.caption(
        run=plan.title(on, study.run),
        dataset=plan.dataset(on).title,
        checkpoint=f"benchmark {plan.benchmark.benchmark}, averaged weights at the end of training",
        seed=0,
        order_by=study.order_by,
        ascending=study.ascending,
        n=len(arrays["images"]),
    )
    job.save_figure(figure.spectrum_figure(arrays, images=study.shown), out, text, record)


def interpretability_figure(
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Closure over time, factors that follow bands, and agreement of spectra."""
    from hkd.studies.interpretability import figure
    from hkd.studies.interpretability.plan import FIGURE, dataset, settings, spectrum_settings, titles

    plan = job.plan(benchmark, config)
    work, study, named = FIGURE.work(plan).expect(expect_digest), settings(plan), titles(plan)
    record = job.record(work)
    shown, order = study.factors[0], spectrum_settings(plan).order_by
    text = figure.caption(
        dataset=plan.dataset(dataset(plan)).title,
        benchmark=plan.benchmark.benchmark,
        seeds=len(plan.seeds),
        shown=named[shown],
        order=order,
        draws=study.draws,
        n=study.trajectories,
    )
    drawn = figure.interpretability_figure(_measured(plan), named, shown=shown, order=order)
    job.save_figure(drawn, out, text, record)
