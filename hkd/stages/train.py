"""`hkd train`: the weights of one run, trained here or adopted from shipped or released ones."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hkd import interrupt, job
from hkd.requeue import requeued

if TYPE_CHECKING:
    from hkd.cli import Commands
    from hkd.experiment.trained import Names
    from hkd.plan.runs import Plan
    from hkd.plan.work import Work
    from hkd.training.loop import Conduct
    from hkd.training.ranks import Ranks

LAST = "last"
"""Which weights of a training are handed over: those after its last step, whatever they score."""


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(train, group="stages", short="Train one run, or adopt given weights")


def train(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that train together, each on a GPU. [default: the benchmark's gpus]",
        ),
    ] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(min=1, help="Images that go through the networks at a time. [default: what a GPU has room for]"),
    ] = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(envvar="HKD_CHECKPOINT_SECONDS", help="Longest time between two checkpoints.")
    ] = 600.0,
    log_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between two lines of history.jsonl. [default: a twentieth]")
    ] = None,
    events: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard's events beside them.")] = False,
    expect_digest: job.DigestOption = None,
    expect_code: job.CodeOption = None,
) -> None:
    """Train one run, going on from its newest checkpoint; or adopt the weights that were given for it."""
    from hkd.plan.asked import processes as planned
    from hkd.plan.stages import TRAIN

    plan = job.plan(benchmark, config)
    work = TRAIN.work(plan, dataset=dataset, method=method, seed=seed).expect(expect_digest, expect_code)
    job.check_inputs(work)
    folder = work.out().parent
    if plan.given(dataset, method):
        from hkd.experiment.adopting import adopt

        adopt(work, job.record)
        return
    job.start_together(processes or planned(plan, dataset, method), device)
    from hkd.experiment.costing import step_operations
    from hkd.experiment.trained import named, set_others_aside
    from hkd.training.loop import Conduct
    from hkd.training.ranks import of_environment

    ranks, names = of_environment(), named(work)
    conduct = Conduct(
        checkpoint_seconds=checkpoint_seconds,
        micro_batch=micro_batch,
        log_every=log_every,
        events=folder / "checkpoints" / "events" if events else None,
    )
    # the folder first, the device then: who waits for another writer should hold no GPU
    with interrupt.only_writer(folder) if ranks.first else nullcontext():
        to = job.pick_device(device)
        with ranks.joined(to), requeued(folder / "checkpoints") if ranks.first else nullcontext():
            if ranks.first:
                set_others_aside(work, names)
                flops = step_operations(plan, dataset, method, count=to.type != "cpu")
                conduct = replace(conduct, flops=flops)
            ranks.wait()  # until what others made is out of the way
            _train(plan, work, dataset, method, seed, names, to, conduct, ranks)


def _train(
    plan: Plan,
    work: Work,
    dataset: str,
    method: str,
    seed: int,
    names: Names,
    to: Any,
    conduct: Conduct,
    ranks: Ranks,
) -> None:
    from hkd.experiment.perceptual import grader, perceptual
    from hkd.experiment.train import Sources, train_run
    from hkd.experiment.trained import hand_over
    from hkd.training.checkpoint import Checkpoints

    run, folder, inputs = plan.run(dataset, method), work.out().parent, work.definition.inputs
    record = job.record(work, to, seed=seed)

    def input_of(role: str) -> Path | None:
        return work.input(role) if role in inputs else None

    trajectories, grading = input_of("trajectories"), input_of("grader")
    found = train_run(
        run,
        Sources(
            images=work.input("images").parent,
            trajectories=trajectories.parent if trajectories else None,
            init=input_of("init"),
            teacher=input_of("teacher"),
            distance=perceptual(run, input_of("perceptual")) if run.perceptual else None,
            grader=grader(grading) if grading else None,
        ),
        Checkpoints(folder / "checkpoints", names.states),
        to,
        seed=seed,
        code=work.code,
        title=f"{method} seed {seed}",
        conduct=conduct,
        ranks=ranks,
        may_diverge=plan.may_diverge(method),
        compute=plan.benchmark.compute,
    )
    if not ranks.first:
        return
    if found.diverged_at is not None:
        print(f"{method} seed {seed}: diverged at step {found.diverged_at}, which is its result", file=sys.stderr)
    start = plan.start(dataset, method)
    facts = {
        "route": plan.route(dataset, method),
        "start": start and start._asdict(),
        "trajectories": plan.learned_from(dataset, method),
        "checkpoint": LAST,
        "budget": found.budget,
        "processes": ranks.size,
        "diverged_at": found.diverged_at,
        "nonfinite_steps": found.nonfinite_steps,
        "codes": found.codes,
        **({"selected": "trained on the features of the network that grades"} if grading else {}),
    }
    hand_over(work, names, (found.averaged, found.raw), found.milestones, found.shape, record, facts)
