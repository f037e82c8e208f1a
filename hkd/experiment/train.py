"""The training of a run: from its settings and the files of earlier stages to weights and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hkd.accelerators import peak
from hkd.data.image_set import image_shape
from hkd.data.image_shape import ImageShape
from hkd.data.shards import read_manifest
from hkd.experiment.build import method
from hkd.experiment.feed import batches
from hkd.experiment.finished import parts
from hkd.nets.compiled import compile_networks
from hkd.nets.precision import narrow
from hkd.settings.numerics import Compute
from hkd.settings.sections import Run
from hkd.training.checkpoint import Checkpoints, Progress
from hkd.training.loop import AS_USUAL, Conduct, fitted, train
from hkd.training.milestones import Milestones, milestone_steps
from hkd.training.nonfinite import Diverged
from hkd.training.ranks import ALONE, Ranks
from hkd.training.trainer import Trainer


@dataclass(frozen=True)
class Sources:
    """Files of finished stages that a training reads; None where its config asks for none.

    Attributes:
        images: folder of the prepared images. trajectories: folder of a set.
        init, teacher: weights of the run that it starts from, and of the one that it learns from.
        distance: the perceptual distance of its loss. grader: the network that grades, where it is trained on that.
    """

    images: Path
    trajectories: Path | None = None
    init: Path | None = None
    teacher: Path | None = None
    distance: Any = None
    grader: Any = None


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        averaged, raw: weights of the artefact. shape: of the images.
        budget: what it cost: parameters, steps, images, evaluations, seconds.
        codes: digests of the code that made its steps, in order; more than one where it went on under another.
        diverged_at: the step that ended it because too many were not finite, where that is a result; else None.
        nonfinite_steps: how many steps had a loss or gradient that is not finite.
        milestones: the weights on the way.
    """

    averaged: dict[str, Tensor]
    raw: dict[str, Tensor]
    shape: ImageShape
    budget: dict[str, Any]
    codes: list[str]
    diverged_at: int | None
    nonfinite_steps: int
    milestones: Milestones


def train_run(
    run: Run,
    sources: Sources,
    checkpoints: Checkpoints,
    to: torch.device,
    *,
    seed: int,
    code: str,
    title: str,
    conduct: Conduct = AS_USUAL,
    ranks: Ranks = ALONE,
    may_diverge: bool = False,
    compute: Compute = Compute(),  # noqa: B008 (immutable)
) -> Trained:
    """Return a run that was trained, going on from its newest checkpoint.

    Args:
        code: digest of the code that makes the steps from here on.
        ranks: the processes that train together; each must be given the same arguments.
        compute: precision of the networks, and whether they are compiled.
        may_diverge: whether a training that ends because too many steps are not finite has its last weights as result.
    Raises:
        Diverged: too many steps are not finite, and that is no result.
        ArtifactError: a source is absent or damaged.
    """
    shape = image_shape(sources.images)
    start = parts(sources.init, sources.teacher, sources.distance, sources.grader)
    built = method(run, shape, seed=seed, parts=start).to(to)
    if compute.precision == "bf16":
        narrow(built)
    feed = batches(run, images=sources.images, trajectories=sources.trajectories, seed=seed, to=to)
    trainer = Trainer(built, run.training, seed=seed, code=code, ranks=ranks)
    trainer.flops = conduct.flops
    if to.type == "cuda":
        trainer.peak = peak(torch.cuda.get_device_name(to), compute.precision)
    conduct = fitted(trainer, feed, conduct, title)
    if compute.compile:
        compile_networks(built)
    kept = milestone_steps(run.training) if built.trains else ()
    milestones = Milestones(checkpoints.folder / "milestones", checkpoints.identity, kept)
    diverged_at = None
    try:
        train(trainer, feed, checkpoints, title=title, milestones=milestones, conduct=conduct)
    except Diverged as error:
        if not may_diverge:
            raise
        diverged_at = error.step
        milestones = Milestones(checkpoints.folder, checkpoints.identity, ())  # it does not reach them all
    progress = trainer.progress
    pairs = read_manifest(sources.trajectories)["network_evals"] if sources.trajectories else 0
    budget = {
        "params": built.sampling_parameters(),
        "steps": progress.step,
        "train_images": progress.step * run.training.batch,
        "network_evals": progress.network_evals + pairs,
        "teacher_evals": progress.teacher_evals,
        "train_seconds": round(progress.seconds, 1),
        **costs(progress, to, ranks.size),
    }
    weights = trainer.averaged(), built.artefact()
    codes, lost = list(progress.codes), progress.nonfinite_steps
    return Trained(*weights, shape, budget, codes, diverged_at, lost, milestones)


def costs(progress: Progress, to: torch.device, processes: int) -> dict[str, float | None]:
    """Return CPU-seconds of a training on CPUs, or seconds of one on GPUs times their number; None where not known."""
    known: dict[str, float | None] = {"train_cpu_seconds": None, "train_gpu_seconds": None}
    if to.type == "cpu" and progress.cpu_seconds is not None:
        known["train_cpu_seconds"] = round(progress.cpu_seconds, 1)
    elif to.type != "cpu":
        known["train_gpu_seconds"] = round(progress.seconds * processes, 1)
    return known
