"""`hkd train`: the weights of one run, trained here or adopted from the shipped ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hkd import interrupt
from hkd.job import (
    DEFAULT_PROFILE,
    CodeOption,
    DatasetArgument,
    DeviceOption,
    DigestOption,
    MethodArgument,
    OverrideOption,
    ProfileOption,
    SeedOption,
    expect,
    plan,
)
from hkd.plan.runs import Plan
from hkd.settings.origins import to_yaml
from hkd.store.artifacts import Record, read_json, save_weights, write_text
from hkd.studies.ambiguity.plan import is_arm


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(train)


def train(
    dataset: DatasetArgument,
    method: MethodArgument,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    checkpoint_seconds: Annotated[
        float, typer.Option(envvar="HKD_CHECKPOINT_SECONDS", help="Longest time between two checkpoints.")
    ] = 60.0,
    expect_digest: DigestOption = None,
    expect_code: CodeOption = None,
) -> None:
    """Train one run, going on from its newest checkpoint; or adopt the shipped weights that answer it."""
    chosen = plan(profile, config)
    expect(chosen.train_digest(dataset, method), expect_digest, f"{method} on {dataset}")
    expect(chosen.train_code(dataset, method), expect_code, f"code of {method}")
    folder = Path(chosen.layout.run(dataset, method, seed))
    with interrupt.only_writer(folder):
        if chosen.shipped(dataset, method):
            _adopt(chosen, dataset, method, seed, folder)
        else:
            _train(chosen, dataset, method, seed, folder, device, checkpoint_seconds)


def _train(
    chosen: Plan, dataset: str, method: str, seed: int, folder: Path, device: str, checkpoint_seconds: float
) -> None:
    from hkd.data.images import image_shape
    from hkd.experiment import build
    from hkd.experiment.feed import batches
    from hkd.training.checkpoint import Checkpoints
    from hkd.training.loop import Diverged, Trainer
    from hkd.training.loop import train as run_loop
    from hkd.training.milestones import Milestones

    run, digest, to = chosen.run(dataset, method), chosen.train_digest(dataset, method), build.device(device)
    record = Record("train", run.model_dump(mode="json"), digest, seed, chosen.needs(dataset, method), str(to))
    images = Path(chosen.layout.data(dataset, "train"))
    shape = image_shape(images)
    built = build.method(run, shape, seed=seed, parts=_parts(chosen, dataset, method)).to(to)
    trajectories = _trajectories(chosen, dataset, method)
    feed = batches(run, images=images, trajectories=trajectories, seed=seed, to=to)
    trainer = Trainer(built, run.training, seed=seed)
    identity = f"{digest}-{chosen.train_code(dataset, method)}-{_inputs_digest(record)}"
    checkpoints = Checkpoints(folder / "checkpoints", identity)
    kept = run.training.milestone_steps if built.trains else ()
    milestones = Milestones(folder / "checkpoints/milestones", identity, kept)
    title, diverged_at = f"{method} seed {seed}", None
    try:
        run_loop(trainer, feed, checkpoints, title=title, checkpoint_seconds=checkpoint_seconds, milestones=milestones)
    except Diverged as error:
        if not is_arm(method):
            raise
        diverged_at = error.step  # of an arm of the audit that is its result; the weights are the last finite ones
        milestones = Milestones(folder, identity, ())  # it does not reach them all
        print(f"{title}: diverged: {error}", file=sys.stderr)
    milestones.hand_over(folder / "milestones", record, run.training.steps)
    evals = trainer.progress.network_evals
    if trajectories:
        evals += read_json(trajectories / "manifest.json", "trajectories")["network_evals"]
    budget = {
        "params": built.sampling_parameters(),
        "steps": trainer.progress.step,
        "train_images": trainer.progress.step * run.training.batch,
        "network_evals": evals,
        "teacher_evals": trainer.progress.teacher_evals,
        "train_seconds": round(trainer.progress.seconds, 1),
    }
    facts = {"route": chosen.route(dataset, method), "budget": budget, "diverged_at": diverged_at}
    _finish(chosen, dataset, method, folder, trainer.averaged(), built.artefact(), shape, record, facts)


def _adopt(chosen: Plan, dataset: str, method: str, seed: int, folder: Path) -> None:
    from hkd.data.images import ImageShape
    from hkd.store.shipped import shipped_weights
    from hkd.training.milestones import Milestones

    name = str(chosen.shipped(dataset, method))
    state, card = shipped_weights(name)
    record = Record("train", chosen.run(dataset, method).model_dump(mode="json"), seed=seed)
    record.settings_digest = chosen.train_digest(dataset, method)
    print(f"{method} on {dataset}: adopting the shipped weights {name}", file=sys.stderr)
    shape = ImageShape(**card["shape"])
    Milestones(folder, "", ()).hand_over(folder / "milestones", record, 0)  # nobody kept any
    facts = {"route": "shipped", "budget": card["budget"], "diverged_at": None}
    _finish(chosen, dataset, method, folder, state, state, shape, record, facts)


def _finish(
    chosen: Plan,
    dataset: str,
    method: str,
    folder: Path,
    averaged: dict[str, Any],
    raw: dict[str, Any],
    shape: Any,
    record: Record,
    facts: dict[str, Any],
) -> None:
    """Write config, raw and averaged weights, and their record, the weights last."""
    from hkd.experiment.record import run_document

    document = run_document(
        chosen.run(dataset, method),
        shape,
        dataset=dataset,
        method=method,
        seed=record.seed,
        scale=chosen.profile.scale,
        route=facts["route"],
        train_digest=record.settings_digest,
    )
    write_text(folder / "config.yaml", to_yaml(document))
    save_weights(folder / "raw.safetensors", raw)
    record.write(folder / "raw.safetensors", **facts)
    save_weights(folder / "weights.safetensors", averaged)
    record.write(folder / "weights.safetensors", **facts)


def _parts(chosen: Plan, dataset: str, method: str) -> Any:
    from hkd.experiment.build import Parts

    run = chosen.run(dataset, method)
    init, teacher = (Path(chosen.base_weights(dataset, b)) if b else None for b in (run.init, run.teacher))
    perceptual = Path(chosen.layout.extractor(dataset, "perceptual")) if run.perceptual else None
    return Parts(init, teacher, perceptual)


def _trajectories(chosen: Plan, dataset: str, method: str) -> Path | None:
    feed = chosen.run(dataset, method).feed
    kind, _, name = feed.partition("/")
    return Path(chosen.layout.trajectories(dataset, name)) if kind == "trajectories" else None


def _inputs_digest(record: Record) -> str:
    """Name the bytes of what a training reads: a state from other inputs must not be resumed."""
    from hkd.settings.origins import digest
    from hkd.store.artifacts import recorded_digest

    return digest([recorded_digest(path) for path in record.inputs])
