"""`hkd stability`, `hkd stability-table`, `hkd figure stability`: quality over a training, and over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hkd import interrupt, job

if TYPE_CHECKING:
    from pathlib import Path

    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this study's commands."""
    cli.add(stability, group="compare and report", short="Measure a run at its milestones")
    cli.add(stability_table, group="compare and report", short="Gather quality over training: Table 5")
    cli.add_figure(stability_figure, "stability")


def stability(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Sample from the averaged and from the raw weights at every milestone of a training, and measure each."""
    from tqdm import tqdm

    from hkd.experiment.extractors import doubt
    from hkd.experiment.quality import MilestoneQuality, as_arrays
    from hkd.store.artifacts import map_arrays
    from hkd.store.atomic import write_json
    from hkd.store.chunks import clear, in_parts
    from hkd.store.records import identity
    from hkd.studies.stability.plan import MEASURED
    from hkd.training.milestones import kept_milestones

    plan = job.plan(benchmark, config)
    work = MEASURED.work(plan, dataset=dataset, method=method, seed=seed).expect(expect_digest)
    to = job.pick_device(device)
    record = job.record(work, to, seed=seed)
    kept = kept_milestones(work.input("milestones"), raw=True)
    sampling = plan.run(dataset, method).sampling
    record.settings = {"steps": kept.steps, "sampling": sampling.model_dump()}
    parts, total = work.out().with_suffix(".parts"), kept.images(sampling.n_samples)
    with (
        interrupt.only_writer(parts),
        interrupt.graceful(),
        tqdm(total=total, desc=f"{method} seed {seed} milestones", unit="image", disable=None) as bar,
    ):

        def tick(count: int) -> None:
            interrupt.check()
            bar.update(count)

        quality = MilestoneQuality(
            work.input("config"),
            work.input("extractor"),
            map_arrays(work.input("reference"), "reference")["own_A"],
            seed=seed,
            images=sampling.n_samples,
            batch=sampling.batch,
            nfe=sampling.nfe[0],
            to=to,
            tick=tick,
        )

        def measured(weights: list[Path], kind: str) -> dict[str, list[float]]:
            """Return the distances at some weights, with those that were found before an interruption."""
            name = f"{identity(work.digest, record.inputs)}-{kind}"
            found = in_parts(
                parts, name, len(weights), 1, lambda k, _: as_arrays(quality.at(weights[k])), interrupt.check
            )
            return {score: array.tolist() for score, array in found.items()}

        averaged, raw = measured(kept.weights, "ema"), measured(kept.raw, "raw")
    content = {"n": sampling.n_samples, "total": kept.total, "steps": kept.steps, "metrics": averaged, "raw": raw}
    content |= {"doubt": told} if (told := doubt(plan, dataset)) else {}
    write_json(work.out(), content)
    record.write(work.out())
    clear(parts)


def stability_table(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Gather quality over training, mean and spread over seeds, beside what the paper printed: Table 5."""
    from hkd.report.csv import to_csv
    from hkd.store.artifacts import read_json
    from hkd.store.atomic import write_text
    from hkd.studies.stability.plan import TABLE, averaging, printed, settings
    from hkd.studies.stability.table import COLUMNS, lines
    from hkd.training.ema import initial_share

    plan = job.plan(benchmark, config)
    work = TABLE.work(plan).expect(expect_digest)
    record = job.record(work)
    runs = [read_json(path, "stability") for path in work.inputs("runs")]
    law, batch = averaging(plan)
    found = lines(
        runs, printed(plan), settings(plan).epochs, lambda steps: initial_share(law, steps=steps, batch=batch)
    )
    write_text(work.out(), to_csv(found, COLUMNS))
    record.write(work.out())


def stability_figure(
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Quality over training, mean and spread over seeds, beside the paper's Table 5."""
    from hkd.store.artifacts import read_json
    from hkd.studies.stability import figure
    from hkd.studies.stability.plan import FIGURE, dataset, printed, settings
    from hkd.studies.stability.table import lines

    plan = job.plan(benchmark, config)
    work, study, on = FIGURE.work(plan).expect(expect_digest), settings(plan), dataset(plan)
    record = job.record(work)
    runs = [read_json(path, "stability") for path in work.inputs("runs")]
    rows = lines(runs, printed(plan), study.epochs)
    text = figure.caption(
        rows,
        run=plan.title(on, study.run),
        dataset=plan.dataset(on).title,
        checkpoints=figure.checkpoints(plan.benchmark.benchmark, runs),
        n=runs[0]["n"],
        doubt=runs[0].get("doubt", ""),
    )
    job.save_figure(figure.stability_figure(rows), out, text, record)
