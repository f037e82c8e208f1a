"""`hkd paired`: does the order of two runs hold, seed by seed?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this study's command."""
    cli.add(paired, group="compare and report", short="Say which orders of runs their seeds resolve")


def paired(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Hold the runs of every pair against each other at equal seeds; a pair without all of its seeds is not run.

    By hand it takes what is there, so that it says how far a long study has come.
    """
    from pathlib import Path

    from hkd.plan.chain import check
    from hkd.report.csv import to_csv
    from hkd.store.artifacts import read_json
    from hkd.store.atomic import write_json, write_text
    from hkd.store.records import Record, commit
    from hkd.studies.paired.plan import TABLE, dataset, metrics, settings
    from hkd.studies.paired.table import COLUMNS, as_results, lines, said, score, text

    plan = job.plan(benchmark, config)
    work, study, on = TABLE.work(plan).expect(expect_digest), settings(plan), dataset(plan)
    there = [path for path in work.inputs() if Path(path).exists()]
    check(plan, there)
    record = Record(work.command, work.settings, work.settings_digest, None, there, code=work.code, of=work.of)
    contents = {
        run: [read_json(path, "metrics") if path in there else None for path in paths]
        for run, paths in metrics(plan).items()
    }
    scores = {run: [score(content) for content in of] for run, of in contents.items()}
    titles, run = work.settings["titles"], plan.run(on, study.pairs[0][0])
    found = lines(study.pairs, scores, titles, confidence=study.confidence, power=study.power)
    name, steps, images = plan.benchmark.benchmark, run.training.steps, run.sampling.n_samples
    about = {
        "command": f"snakemake --cores all --configfile configs/benchmarks/{name}.yaml -- {work.out('csv')}",
        "commit": commit(),
        "source": f"written by hkd {work.command}",
        "seeds": len(plan.seeds),
        "steps": steps,
        "images": images,
    }
    words = f"Benchmark {name}, {plan.dataset(on).title}, {steps} steps, {images} images, {len(plan.seeds)} seeds"
    write_text(work.out("csv"), to_csv(found, COLUMNS))
    write_text(work.out("md"), text(found, words))
    write_json(work.out("json"), as_results(scores, titles, about))
    for output in ("csv", "md", "json"):
        record.write(work.out(output), runs=len(scores), files=len(there))
    for line in found:
        typer.echo(said(line))
