"""`hkd train`: the weights of one run, trained here or adopted from shipped or released ones."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from hkd import interrupt, job
from hkd.requeue import requeued

if TYPE_CHECKING:
    from hkd.cli import Commands
    from hkd.data.image_shape import ImageShape
    from hkd.plan.runs import Plan
    from hkd.plan.work import Work
    from hkd.store.records import Record
    from hkd.training.loop import Conduct
    from hkd.training.milestones import Milestones
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
    from hkd.store.records import identity

    plan = job.plan(benchmark, config)
    work = TRAIN.work(plan, dataset=dataset, method=method, seed=seed).expect(expect_digest, expect_code)
    job.check_inputs(work)
    folder = work.out().parent
    names = Names(identity(work.digest, work.inputs()), identity(work.states_digest, work.inputs()))
    if plan.given(dataset, method):
        with interrupt.only_writer(folder):
            _set_aside(plan, folder, names, dataset, method)
            _adopt(plan, work, dataset, method, seed, names)
        return
    job.start_together(processes or planned(plan, dataset, method), device)
    from hkd.experiment.costing import step_operations
    from hkd.training.loop import Conduct
    from hkd.training.ranks import of_environment

    ranks = of_environment()
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
                _set_aside(plan, folder, names, dataset, method)
                flops = step_operations(plan, dataset, method, count=to.type != "cpu")
                conduct = replace(conduct, flops=flops)
            ranks.wait()  # until what others made is out of the way
            _train(plan, work, dataset, method, seed, names, to, conduct, ranks)


class Names(NamedTuple):
    """What names the results of a training, and its states on the way: settings, code and inputs of each."""

    results: str
    states: str


def _set_aside(plan: Plan, folder: Path, names: Names, dataset: str, method: str) -> None:
    """Move what others made out of the way, if that was asked for where it must be."""
    from hkd.plan.lengths import bound
    from hkd.plan.superseding import check_replacing, others
    from hkd.store.superseded import CHECKPOINTS, set_aside

    run = plan.run(dataset, method)
    check_replacing(plan, others(folder, *names, run.training.steps))
    moved = set_aside(folder, *names, run.training.steps)
    for place in moved:
        print(f"what other settings, code or inputs made of {method} lies in {place} now", file=sys.stderr)
    if any(place.name.startswith(CHECKPOINTS) for place in moved) and (why := bound(run)):
        print(f"{method}: a longer training begins anew too, because of {why}", file=sys.stderr)


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
    weights = found.averaged, found.raw
    _finish(plan, work, dataset, method, names, weights, found.milestones, found.shape, record, facts)


def _adopt(plan: Plan, work: Work, dataset: str, method: str, seed: int, names: Names) -> None:
    from hkd.data.image_shape import ImageShape
    from hkd.training.milestones import Milestones

    state, card, facts = _given(plan, dataset, method)
    record = job.record(work, seed=seed)
    kept = Milestones(work.out().parent, "", ())  # nobody kept any
    facts |= {"diverged_at": None, "codes": []}
    _finish(plan, work, dataset, method, names, (state, state), kept, ImageShape(**card["shape"]), record, facts)


def _given(plan: Plan, dataset: str, method: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the weights that need no training, their card, and what a record says of them."""
    if path := plan.released(dataset, method):
        from hkd.experiment.importing import released, said_of

        print(f"{method} on {dataset}: taking the released weights {path}", file=sys.stderr)
        state, card = released(Path(path), plan.run(dataset, method), dataset=dataset, method=method)
        return state, card, {"route": "released", **said_of(card)}
    from hkd.store.refusals import ArtifactError
    from hkd.store.shipped import card_path, shipped_weights

    shipped = str(plan.shipped(dataset, method))
    print(f"{method} on {dataset}: adopting the shipped weights {shipped}", file=sys.stderr)
    arrays, card = shipped_weights(shipped)
    due = plan.dataset(dataset).data.resolution
    if (side := card.get("shape", {}).get("resolution")) is None or due not in (None, side):
        raise ArtifactError(
            f"{card_path(shipped)}: says shape {card.get('shape')}, {dataset} has {due} pixels a side; "
            "restore it from the repository"
        )
    said = [key for key in ("budget", "checkpoint", "start", "trajectories") if key in card]
    return arrays, card, {"route": "shipped"} | {key: card[key] for key in said}


def _finish(
    plan: Plan,
    work: Work,
    dataset: str,
    method: str,
    names: Names,
    weights: tuple[dict[str, Any], dict[str, Any]],
    milestones: Milestones,
    shape: ImageShape,
    record: Record,
    facts: dict[str, Any],
) -> None:
    """Write milestones, config, raw and averaged weights, each with its record, the averaged weights last."""
    from hkd.experiment.record import run_document
    from hkd.settings.origins import to_yaml
    from hkd.store.artifacts import save_weights
    from hkd.store.atomic import write_text
    from hkd.store.superseded import keep

    run, folder, (averaged, raw) = plan.run(dataset, method), work.out().parent, weights
    steps = run.training.steps if facts["route"] == "train" else 0
    kept = milestones.hand_over(work.out("milestones"), record, steps)
    record.settings = run.model_dump(mode="json")
    document = run_document(
        run,
        shape,
        dataset=dataset,
        method=method,
        seed=record.seed,
        scale=plan.benchmark.scale,
        route=facts["route"],
        train_digest=record.settings_digest,
    )
    write_text(work.out("config"), to_yaml(document))
    record.write(work.out("config"))
    finite = facts["diverged_at"] is None  # of a training that diverged, the last weights are its result as they are
    for output, state in (("raw", raw), ("weights", averaged)):
        save_weights(work.out(output), state, finite=finite)
        record.write(work.out(output), **facts)
    keep(folder, [*kept, *(work.out(output) for output in ("config", "raw", "weights"))], *names)
