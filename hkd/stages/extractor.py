"""`hkd extractor`: a feature network, trained here or adopted from the shipped ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import interrupt, job
from hkd.requeue import requeued

if TYPE_CHECKING:
    from hkd.cli import Commands
    from hkd.plan.runs import Plan
    from hkd.plan.work import Work

RoleArgument = Annotated[str, typer.Argument(help="metric or perceptual.")]


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(extractor, group="stages", short="Train a feature network, or adopt a shipped one")


def extractor(
    dataset: job.DatasetArgument,
    role: RoleArgument,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Train the feature network that measures (metric) or that objectives use (perceptual), or adopt a shipped one."""
    from hkd.plan.stages import EXTRACTOR

    plan = job.plan(benchmark, config)
    work = EXTRACTOR.work(plan, dataset=dataset, role=role).expect(expect_digest)
    if plan.shipped(dataset, f"extractors/{role}"):
        from hkd.experiment.adopting import adopt

        adopt(work, job.record)
        return
    with interrupt.only_writer(work.out().parent), requeued(work.out().parent / "checkpoints"):
        _train(plan, work, dataset, role, device)


def _train(plan: Plan, work: Work, dataset: str, role: str, device: str) -> None:
    from hkd.experiment.extractor import train_extractor
    from hkd.plan.superseding import check_replacing, others
    from hkd.store.artifacts import save_weights
    from hkd.store.records import identity
    from hkd.store.superseded import keep, set_aside
    from hkd.training.checkpoint import Checkpoints

    settings, to, out = plan.extractor(dataset, role), job.pick_device(device), work.out()
    record = job.record(work, to, seed=settings.seed)
    name = identity(work.digest, work.inputs())
    check_replacing(plan, others(out.parent, name))
    for moved in set_aside(out.parent, name):
        print(f"what other settings, code or images made lies in {moved} now", file=sys.stderr)
    found = train_extractor(
        settings,
        plan.dataset(dataset).data,
        work.input("images").parent,
        Checkpoints(out.parent / "checkpoints", name),
        to,
        title=f"{dataset} {role} network",
    )
    skill, reads = found.skill
    about = {"network": found.network, "name": found.name, "task": found.task, "skill": skill, "reads": reads}
    save_weights(out, found.state, about)
    facts = {"quality": found.quality, "guessed": found.guessed, "skill": skill, "name": found.name}
    record.write(out, **facts, train_seconds=round(found.seconds, 1))
    keep(out.parent, [out], name)
    quality = ", ".join(f"{name} {value:.3f}" for name, value in found.quality.items())
    print(f"{dataset} {role} network: held-out {quality}", file=sys.stderr)
    if skill < settings.bar:
        print(
            f"{dataset} {role} network: {reads}, a share of {skill:.2f} of what guessing leaves, below the bar of "
            f"{settings.bar:g}: numbers made with it are marked as estimates",
            file=sys.stderr,
        )
