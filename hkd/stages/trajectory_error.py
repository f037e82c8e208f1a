"""`hkd trajectory-error`, `hkd error-table`: how far one-step predictions from middle states are off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's commands."""
    cli.add(trajectory_error, group="stages", short="Measure predictions from every state")
    cli.add(error_table, group="stages", short="Gather the errors over time")


def trajectory_error(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_code: job.CodeOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Predict x_eps from every state of held-out trajectories, in one step, and measure the error."""
    from hkd.experiment.errors import trajectory_errors
    from hkd.plan.stages import TRAJECTORY_ERROR
    from hkd.store.atomic import write_json

    plan = job.plan(benchmark, config)
    work = TRAJECTORY_ERROR.work(plan, dataset=dataset, method=method, seed=seed).expect(expect_digest, expect_code)
    to = job.pick_device(device)
    record = job.record(work, to, seed=seed)
    write_json(work.out(), trajectory_errors(work.input("weights"), work.input("trajectories").parent, to))
    record.write(work.out())


def error_table(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Gather the errors over time of the benchmark's methods: mean and spread over seeds, one line per noise level."""
    from hkd.plan.stages import ERROR_TABLE
    from hkd.report.csv import to_csv
    from hkd.report.error_lines import COLUMNS, error_lines
    from hkd.store.artifacts import read_json
    from hkd.store.atomic import write_text

    plan = job.plan(benchmark, config)
    work = ERROR_TABLE.work(plan).expect(expect_digest)
    record = job.record(work)
    files = plan.trajectory_errors()
    runs = {method: [read_json(path, "trajectory-error") for path in paths] for method, paths in files.items()}
    write_text(work.out(), to_csv(error_lines(runs), COLUMNS))
    record.write(work.out())
