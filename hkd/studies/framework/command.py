"""`hkd figure framework`: the network that a run's settings build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands

READINGS = ("levels", "bottleneck_operator", "pairing", "time_map", "decoder_sigma", "output_wrapper")


def register(cli: Commands) -> None:
    """Add this study's command."""
    cli.add_figure(framework)


def framework(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    out: job.FigureOption,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """The network that a run's settings build: blocks, latents, operators, parameters. Needs no weights and no data.

    The paper's: hkd figure framework cifar10 methods/hkd --config scale=paper --out framework.pdf
    """
    from hkd.experiment.build import untrained_network
    from hkd.studies.framework.figure import caption, framework_figure
    from hkd.studies.framework.outline import outline
    from hkd.studies.framework.plan import FIGURE

    plan = job.plan(benchmark, config)
    work = FIGURE.work(plan, dataset=dataset, method=method).expect(expect_digest)
    run, data = plan.run(dataset, method), plan.dataset(dataset)
    record = job.record(work)
    found = outline(untrained_network(run, data.data))
    readings = {key: run.params[key] for key in READINGS}
    text = caption(found, run=run.title, dataset=data.title, scale=plan.benchmark.scale, readings=readings)
    job.save_figure(framework_figure(found), out, text, record)
