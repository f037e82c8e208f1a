"""The training loop that all methods share: from the newest checkpoint to the last step."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from hkd import interrupt
from hkd.methods.evaluations import EvaluationCounter, networks
from hkd.store.refusals import ArtifactError, of_memory
from hkd.training.checkpoint import Checkpoints, Progress
from hkd.training.costs import images_that_fit, step_cost
from hkd.training.journal import Journal
from hkd.training.milestones import Milestones
from hkd.training.parts import Division, Indivisible, Part
from hkd.training.ranks import Ranks
from hkd.training.snapshot import Snapshots
from hkd.training.trainer import TooLarge, Trainer

Feed = Callable[..., Any]
"""Function of a step's number that returns its batch, or with a slice as second argument those of its rows."""


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """How a training is carried out on a machine; what it computes does not change by it, but for rounding.

    Attributes:
        checkpoint_seconds: longest time between two states that are written.
        micro_batch: images that go through the networks at a time; by default as many as a GPU has room for, and on a
            CPU the whole batch.
        log_every: steps between two lines of history.jsonl; by default a twentieth of the training, 500 at most.
        events: folder for TensorBoard's events, if they are wanted.
        flops: operations of a step for one image, where they are known.
    """

    checkpoint_seconds: float = 600.0
    micro_batch: int | None = None
    log_every: int | None = None
    events: Path | None = None
    flops: float | None = None


AS_USUAL = Conduct()


def train(
    trainer: Trainer,
    batches: Feed,
    checkpoints: Checkpoints,
    *,
    title: str,
    milestones: Milestones | None = None,
    conduct: Conduct = AS_USUAL,
) -> None:
    """Train to the last step, from the newest checkpoint if there is one.

    Args:
        checkpoints: where states are kept; written now and then, when asked to stop, and at the end.
        milestones: where weights are kept during training; a checkpoint is not resumed when those of an earlier
            milestone are lost.

    Raises:
        Interrupted: after a request to stop, with the state saved.
        Diverged: the loss or its gradient is not finite in too many steps.
        Indivisible: the batch cannot be cut up for these processes, or a device cannot hold a single image.
        ArtifactError: the newest state is of networks of another size.
    """
    _resume(trainer, checkpoints, milestones, title)
    ranks, progress = trainer.ranks, trainer.progress
    total = trainer.settings.steps if trainer.method.trains else 0
    division = _division(trainer, conduct, title)
    log_every = conduct.log_every or min(max(total // 20, 1), 500)
    trainer.method.train()
    before, start = progress.seconds, time.monotonic()
    cpu_before, cpu_start = progress.cpu_seconds, time.process_time()
    saved = start
    counts = _Counts(trainer)
    journal = Journal(checkpoints.folder, title, total, trainer, conduct.events) if ranks.first else None
    bar = tqdm(total=total, initial=progress.step, desc=title, unit="step", disable=None if ranks.first else True)
    with interrupt.graceful(), counts, bar, Snapshots(checkpoints) as snapshots:
        if milestones and ranks.first:  # step 0, before training, may be one
            milestones.reach(progress.step, trainer.averaged, trainer.method.artefact)
        while progress.step < total:
            trainer.state_is_due = ranks.first and time.monotonic() - saved > conduct.checkpoint_seconds
            try:
                trainer.step_in_parts(_parts(batches, progress.step, division))
            except TooLarge as error:
                counts.forget()
                division = _halved(division, ranks, title, here=error.here)
                continue
            bar.update()
            counts.take()
            now = time.monotonic()
            progress.seconds = before + now - start
            if cpu_before is not None:  # every process does as much as this one
                progress.cpu_seconds = cpu_before + (time.process_time() - cpu_start) * ranks.size
            last = progress.step == total
            stop = trainer.asked_to_stop or (ranks.size == 1 and interrupt.requested())
            save = stop or last or trainer.asked_to_save
            if save or progress.step % log_every == 0:
                trainer.read()  # in all processes at the same steps, so that all find out when a training diverges
            if journal:
                journal.remark()
                if progress.step % log_every == 0 or last:
                    journal.add(bar)
            else:
                trainer.take_recent()
            if milestones and ranks.first:  # before the checkpoint of this step, which promises that they are there
                milestones.reach(progress.step, trainer.averaged, trainer.method.artefact)
            if ranks.first and save:
                snapshots.save(trainer.state(), progress)
                saved = now
            if stop and not last:
                snapshots.finish()
                ranks.wait()  # a process that left now would have the one that saves killed
                raise interrupt.Interrupted
    trainer.method.eval()


def _resume(trainer: Trainer, checkpoints: Checkpoints, milestones: Milestones | None, title: str) -> None:
    """Load the newest checkpoint, if there is one that can be gone on from."""
    found = checkpoints.load(trainer.settings.steps)
    to = sys.stderr if trainer.ranks.first else io.StringIO()  # all find the same, one says so
    for reason in checkpoints.passed_over:
        print(f"checkpoint passed over: {reason}", file=to)
    if found and milestones and (lost := milestones.missing(found[1].step)):
        print(f"checkpoint passed over: the weights of step {lost[0]} are gone", file=to)
        found = None
    if found:
        _check_size(trainer, *found, title)
        trainer.load_state(*found)
        print(f"{title}: going on from step {trainer.progress.step}", file=to)
    codes = trainer.progress.codes
    if not codes or codes[-1] != trainer.code:
        codes.append(trainer.code)
    trainer.ranks.wait()  # until all have read what the first will replace


def _check_size(trainer: Trainer, tensors: dict[str, Tensor], progress: Progress, title: str) -> None:
    """Raise `ArtifactError` for a state of other networks, as other code makes them of the same settings."""
    here, there = (
        {name: tuple(value.shape) for name, value in state.items() if name.startswith("ema/")}
        for state in (trainer.state(), tensors)
    )
    if other := sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name)):
        sizes = " and not ".join(str(of.get(other[0], "absent")) for of in (there, here))
        name = other[0].removeprefix("ema/")
        raise ArtifactError(
            f"{title}: its state of step {progress.step} is of networks of another size "
            f"({name} is {sizes}, with {len(other) - 1} more); train with the code that wrote it, or begin anew with "
            "--config rerun=code"
        )


def fitted(trainer: Trainer, batches: Feed, conduct: Conduct, title: str) -> Conduct:
    """Return how a training is carried out where its device may not hold a batch: in parts that it does hold.

    Asked before networks are compiled, because the cost of a step is counted operation by operation.
    """
    method, size = trainer.method, trainer.settings.batch
    if conduct.micro_batch or trainer.device.type == "cpu" or method.whole_batch or not method.trains or size == 1:
        return conduct
    try:
        few, more = batches(0, slice(0, 1)), batches(0, slice(0, 2))
        cost = step_cost(method, few, more, draws=trainer.settings.draws)
    except (MemoryError, RuntimeError) as error:
        if not of_memory(error):
            raise
        return replace(conduct, micro_batch=1)
    torch.cuda.empty_cache()
    trainer.flops = cost.flops
    fits = images_that_fit(cost, method, torch.cuda.mem_get_info(trainer.device)[0])
    if trainer.ranks.first:
        per_image = f"{cost.kept / 2**20:.0f} MiB and {cost.flops / 1e9:.1f} GFLOP an image"
        print(f"{title}: {per_image}, {min(fits, size)} images at a time", file=sys.stderr)
    return replace(conduct, micro_batch=min(fits, size))


def _division(trainer: Trainer, conduct: Conduct, title: str) -> Division:
    """Return how the batch is cut up for this process.

    Raises:
        Indivisible: it cannot be.
    """
    ranks, size = trainer.ranks, trainer.settings.batch
    if not trainer.method.whole_batch:
        return Division(size, conduct.micro_batch, ranks.rank, ranks.size)
    if ranks.size > 1:
        raise Indivisible(f"{title}: its loss needs the whole batch in one process; start one")
    return Division(size, together=True)


def _parts(batches: Feed, step: int, division: Division) -> Iterator[Part]:
    """Yield the parts of a step's batch that this process takes."""
    expect = getattr(batches, "expect", None)
    if division.whole:
        part = Part(0, 1.0, batches(step))
        if expect:
            expect(step + 1)
        yield part
        return
    parts = division.rows()
    for rows, after in zip(parts, [*parts[1:], None], strict=True):
        part = Part(rows.start, (rows.stop - rows.start) / division.batch, batches(step, rows))
        if expect:
            expect(*((step, after) if after else (step + 1, parts[0])))
        yield part


def _halved(division: Division, ranks: Ranks, title: str, *, here: bool) -> Division:
    """Return a division into smaller parts, where this process's device was the one without room.

    Raises:
        Indivisible: a device holds no single image; in all processes, so that none waits for another.
    """
    torch.cuda.empty_cache()
    smallest = None
    try:
        smaller = division.halved() if here else division
    except Indivisible as error:
        smallest, smaller = error, division
    (stuck,) = ranks.any(smallest is not None)
    if stuck:
        raise smallest or Indivisible(f"{title}: the device of another process cannot hold a single image")
    if here:
        print(f"{title}: out of memory; parts of {smaller.largest} images from here on", file=sys.stderr)
    return smaller


class _Counts:
    """The evaluations of networks that a training has made, by all processes and over all attempts."""

    def __init__(self, trainer: Trainer) -> None:
        self._progress, self._ranks = trainer.progress, trainer.ranks
        self._before = trainer.progress.network_evals, trainer.progress.teacher_evals
        self._all = EvaluationCounter(networks(trainer.method))
        self._of_teacher = EvaluationCounter(networks(trainer.method, ("teacher",)))
        self._taken = 0, 0

    def __enter__(self) -> _Counts:
        self._all.__enter__()
        self._of_teacher.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._of_teacher.__exit__(*error)
        self._all.__exit__(*error)

    def take(self) -> None:
        """Put down what was counted; every process evaluates as many images as this one."""
        self._taken = self._all.counted, self._of_teacher.counted
        self._progress.network_evals, self._progress.teacher_evals = (
            before + counted * self._ranks.size for before, counted in zip(self._before, self._taken, strict=True)
        )

    def forget(self) -> None:
        """Forget the evaluations of a step that was not made."""
        self._all.counted, self._of_teacher.counted = self._taken
