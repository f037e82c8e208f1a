"""`hkd trajectories`: solve a teacher's probability-flow ODE and keep every state, shard by shard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import interrupt, job
from hkd.requeue import requeued

if TYPE_CHECKING:
    from hkd.cli import Commands
    from hkd.plan.runs import Plan
    from hkd.plan.work import Work


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(trajectories, group="stages", short="Solve a teacher's trajectories")


def trajectories(
    dataset: job.DatasetArgument,
    name: job.TrajectoriesArgument,
    shard: Annotated[
        int | None, typer.Option(help="Solve this shard; without it, check all shards and list them.")
    ] = None,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
    check: Annotated[
        int | None, typer.Option(min=1, help="Solve this many of the finished set again, and say how far they differ.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Of --check: the largest difference, in standard deviations of a state.")
    ] = 5e-3,
) -> None:
    """Solve one shard of a set of teacher trajectories, or list or check the finished shards."""
    from hkd.plan.stages import MANIFEST, SHARD
    from hkd.settings.origins import ConfigError

    plan = job.plan(benchmark, config)
    shards = plan.trajectory_set(dataset, name).shards
    if check is not None:
        _check(plan, dataset, name, check, tolerance, device)
    elif shard is None:
        _manifest(plan, MANIFEST.work(plan, dataset=dataset, trajectories=name).expect(expect_digest), dataset, name)
    elif 0 <= shard < shards:
        work = SHARD.work(plan, dataset=dataset, trajectories=name, shard=shard).expect(expect_digest)
        _solve(plan, work, dataset, name, shard, device)
    else:
        raise ConfigError(f"trajectories {name}: shard {shard} is not in 0..{range(shards)[-1]}")


def _solve(plan: Plan, work: Work, dataset: str, name: str, shard: int, device: str) -> None:
    from tqdm import tqdm

    from hkd.experiment.solve import ShardSolver, counted
    from hkd.store.chunks import clear, joined_parts
    from hkd.store.records import identity

    spec, to = plan.trajectory_set(dataset, name), job.pick_device(device)
    record = job.record(work, to, seed=spec.seed)
    solver = ShardSolver(spec, shard, work.input("teacher"), to)
    parts = work.out().parent / f"parts{shard}"
    with (
        interrupt.only_writer(parts),
        requeued(parts),
        interrupt.graceful(),
        tqdm(total=solver.size, desc=f"{name} shard {shard}", disable=None) as bar,
    ):
        make = counted(solver.states, bar.update)
        called = identity(work.digest, work.inputs())
        made = joined_parts(parts, called, solver.size, spec.chunk, make, interrupt.check)
        arrays = {name: array.on_disk(work.out().parent) for name, array in made.items()}
        facts = solver.write(work.out(), arrays)
    record.write(work.out(), **facts)
    clear(parts)


def _check(plan: Plan, dataset: str, name: str, count: int, tolerance: float, device: str) -> None:
    from hkd.experiment.solve import solved_again
    from hkd.plan.stages import MANIFEST, SHARD

    spec = plan.trajectory_set(dataset, name)
    work = SHARD.work(plan, dataset=dataset, trajectories=name, shard=0)
    folder = MANIFEST.work(plan, dataset=dataset, trajectories=name).out().parent
    found = solved_again(spec, folder, work.input("teacher"), job.pick_device(device), count)
    far = sum(gap > tolerance for gap in found)
    typer.echo(f"{folder}: {len(found)} of {spec.count} solved again, largest difference {max(found):.2g}")
    if far:
        typer.echo(
            f"{folder}: {far} of them differ by more than {tolerance:g}: other weights, or a damaged file", err=True
        )
        raise typer.Exit(1)


def _manifest(plan: Plan, work: Work, dataset: str, name: str) -> None:
    from hkd.data.shards import open_set, set_manifest
    from hkd.store.atomic import write_json
    from hkd.store.records import read_record
    from hkd.store.refusals import ArtifactError

    spec = plan.trajectory_set(dataset, name)
    for number, path in enumerate(work.inputs("shards")):
        if not Path(path).exists():
            raise ArtifactError(f"{path}: missing; run `hkd trajectories {dataset} {name} --shard {number}`")
    record = job.record(work, seed=spec.seed)
    shards = [(Path(path).name, read_record(path, work.command)) for path in work.inputs("shards")]
    manifest = set_manifest(spec, work.settings_digest, shards)
    open_set(work.out().parent, manifest)
    write_json(work.out(), manifest)
    record.write(work.out())
