"""`hkd config`: what a run would use, and where each value was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's commands."""
    cli.add_config(show)
    cli.add_config(tables)
    cli.add_config(snakefile)
    cli.add(forecast, group="your own images", short="Say how long a run on your images will take")


def show(
    method: Annotated[str, typer.Argument(help=job.METHOD_HELP)],
    dataset: job.DatasetOption = "shapes16",
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Print the resolved settings of a run, each value with the file and line it comes from."""
    from hkd.plan.stages import TRAIN
    from hkd.settings.names import check_method

    plan = job.plan(benchmark, config)
    name = check_method(method if "/" in method else f"methods/{method}")
    work = TRAIN.work(plan, dataset=dataset, method=name, seed=0)
    for line in plan.run_layers(dataset, name).lines():
        typer.echo(line)
    typer.echo(f"\n# route: {plan.route(dataset, name)}   digest of the settings: {work.settings_digest}")


def tables(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """Print every row of every table of the benchmark, and the run that answers it."""
    from hkd.plan.rows import cells

    plan = job.plan(benchmark, config)
    for name in plan.tables:
        typer.echo(f"{name} on {plan.table(name).dataset}, {len(plan.seeds)} seed(s)")
        for row, paths in cells(plan, name):
            typer.echo(f"  {row.label:40} nfe {row.nfe:<5} {row.method or 'not here yet':32} {len(paths)} run(s)")


def snakefile() -> None:
    """Print where the workflow lies: snakemake --cores all -s "$(hkd config snakefile)" results/table1.csv."""
    from hkd.settings.merge import CONFIGS
    from hkd.settings.names import check_checkout

    check_checkout()
    typer.echo(CONFIGS.absolute().parent.resolve() / "Snakefile")


def forecast(
    benchmark: job.BenchmarkOption = "configs/benchmarks/own.yaml",
    config: job.OverrideOption = None,
) -> None:
    """Look at the images of the benchmark's data set, and say how long its first table will take on a CPU.

    In one sentence, at the speed of configs/cpu.yaml; `hkd plan --probe` measures this machine and says more.
    """
    from hkd.data.sources import open_source
    from hkd.experiment.costing import Counted
    from hkd.plan.account import account
    from hkd.plan.bill import Bill
    from hkd.plan.graph import Graph
    from hkd.plan.scores import refuse_few
    from hkd.plan.speed import of_thread
    from hkd.report.priced import CORES, sentence
    from hkd.store.refusals import ArtifactError

    plan = job.plan(benchmark, config)
    name = plan.benchmark.dataset
    data = plan.dataset(name).data
    if data.path is None:
        raise ArtifactError(f"{benchmark}: its images are not named; say --config source=PATH")
    source = open_source(
        data.path, resolution=data.resolution, convert_to_rgb=data.convert_to_rgb, class_folders=data.class_folders
    )
    side, images = source.resolution, len(source)
    refuse_few(plan, name, images)
    plan = job.plan(benchmark, [*(config or []), f"data.{name}.resolution={side}", f"data.{name}.count={images}"])
    graph = Graph(plan, [f"{plan.layout.table('table1')}.csv"])
    counted = Counted(plan, graph)
    counted.prepare(say=lambda line: typer.echo(line, err=True))
    bill = Bill(plan, counted.of, counted.features)
    found = account(plan, graph, bill, counted.of, of_thread(plan.configs, forked=plan.benchmark.fork_server), CORES)
    typer.echo(sentence(found, side=side, images=images))
