"""The training loop that all methods share."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from hkd import interrupt
from hkd.methods.base import Method
from hkd.methods.evaluations import EvaluationCounter, networks
from hkd.seeding import address, stream
from hkd.settings.sections import Training
from hkd.store.atomic import write_text
from hkd.training import nonfinite
from hkd.training.checkpoint import Checkpoints, Progress
from hkd.training.ema import Average, ema_decay
from hkd.training.milestones import Milestones
from hkd.training.optim import Adaptive, load_named_state, named_state, set_learning_rate


class Trainer:
    """The state of a training: weights, averages, optimisers, and the step reached.

    Step k draws from the streams (seed, ..., k) alone, so a training that was stopped and resumed makes the same
    steps as one that ran through, to the bit on one CPU thread.
    """

    def __init__(self, method: Method, settings: Training, *, seed: int, code: str = "") -> None:
        self.method = method
        self.settings = settings
        self.seed = seed
        self.code = code
        self.progress = Progress()
        self.averages = {name: Average(getattr(method, name)) for name in method.trains}
        self.optimizers = self._fresh_optimizers()

    def state(self) -> dict[str, Tensor]:
        """Return every tensor that a resumed training needs."""
        tensors = {f"method/{k}": v for k, v in self.method.training_state().items()}
        for name in self.method.trains:
            tensors |= {f"ema/{name}/{k}": v for k, v in self.averages[name].values.items()}
            tensors |= {f"optim/{name}/{k}": v for k, v in named_state(self.optimizers[name]).items()}
        return tensors

    def load_state(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        """Go on from a state that `state` returned."""
        self.method.load_training_state(_below("method/", tensors))
        for name in self.method.trains:
            for key, value in _below(f"ema/{name}/", tensors).items():
                self.averages[name].values[key].copy_(value)
            load_named_state(self.optimizers[name], _below(f"optim/{name}/", tensors))
        self.progress = progress

    def step(self, batch: Any) -> dict[str, float]:
        """Make one optimiser step of every trained network and return losses, gradient norms and learning rate.

        A network whose loss or gradient is not finite is passed over, or stepped with zeros in its gradient, as
        `training.nonfinite` says; a gradient that is too large to have a norm is passed over in either case.

        Raises:
            Diverged: there were too many such steps.
        """
        step = self.progress.step
        # dropout draws from torch's global generator, which is therefore set anew in every step
        torch.manual_seed(address(self.seed, "dropout", step))
        losses = self.method.losses(batch, step=step, generator=stream(self.seed, "train", step))
        facts: dict[str, float] = {}
        peak = self.settings.optimizer.lr * self.method.rate_factor(step)
        made, finite = [], True
        for name, loss in losses.items():
            optim = self.optimizers[name]
            rate = set_learning_rate(optim, self.settings, step, peak)
            optim.zero_grad()
            loss.backward()
            gradients = [p.grad for p in getattr(self.method, name).parameters() if p.grad is not None]
            norm = _norm(gradients)
            facts |= {f"loss/{name}": loss.detach().item(), f"grad_norm/{name}": norm.item(), "lr": rate}
            if not (math.isfinite(facts[f"loss/{name}"]) and math.isfinite(facts[f"grad_norm/{name}"])):
                if finite:  # the step counts once, however many networks it has
                    nonfinite.note(self.progress, self.settings.steps, facts)
                finite = False
                if self.settings.nonfinite == "skip":
                    continue
                nonfinite.zero(gradients)
                norm = _norm(gradients)
                if not math.isfinite(norm.item()):  # finite, but too large to be squared
                    continue
            _clip(gradients, norm, self.settings.clip)
            optim.step()
            made.append(name)
        decay = ema_decay(self.settings.ema, step=step, batch=self.settings.batch)
        for name in made:
            self.averages[name].update(getattr(self.method, name), decay)
        self.progress.step += 1
        self.method.after_step(self.progress.step)
        if self.method.forgets(self.progress.step):
            self.optimizers = self._fresh_optimizers()
        return facts

    def averaged(self) -> dict[str, Tensor]:
        """Return the weights for sampling: the method's artefact with averages in place of current weights."""
        state = dict(self.method.artefact())
        for name, average in self.averages.items():
            if name in self.method.samples_with:
                network = getattr(self.method, name)
                state |= {f"{name}.{key}": value for key, value in average.state(network).items()}
        return state

    def _fresh_optimizers(self) -> dict[str, Adaptive]:
        settings, groups = self.settings.optimizer, self.method.parameter_groups
        return {name: Adaptive(settings, groups(name)) for name in self.method.trains}


def train(
    trainer: Trainer,
    batches: Callable[[int], Any],
    checkpoints: Checkpoints,
    *,
    title: str,
    checkpoint_seconds: float = 60.0,
    milestones: Milestones | None = None,
) -> None:
    """Train to the last step, from the newest checkpoint if there is one.

    Args:
        batches: function of a step's number that returns its batch.
        checkpoints: where states are kept; written every `checkpoint_seconds`, when asked to stop, and at the end.
        milestones: where averaged weights are kept during training; a checkpoint is not resumed when the weights of
            an earlier milestone are lost.

    Raises:
        Interrupted: after a request to stop, with the state saved.
        Diverged: the loss or its gradient is not finite in too many steps.
    """
    found = checkpoints.load()
    for reason in checkpoints.passed_over:
        print(f"checkpoint passed over: {reason}", file=sys.stderr)
    if found and milestones and (lost := milestones.missing(found[1].step)):
        print(f"checkpoint passed over: the weights of step {lost[0]} are gone", file=sys.stderr)
        found = None
    if found:
        trainer.load_state(*found)
        print(f"{title}: going on from step {trainer.progress.step}", file=sys.stderr)
    total, progress = trainer.settings.steps if trainer.method.trains else 0, trainer.progress
    if not progress.codes or progress.codes[-1] != trainer.code:
        progress.codes.append(trainer.code)
    trainer.method.train()
    before, start = progress.seconds, time.monotonic()
    saved = start
    history = _History(checkpoints.folder / "history.jsonl", progress.step)
    counter = EvaluationCounter(networks(trainer.method), progress.network_evals)
    of_teacher = EvaluationCounter(networks(trainer.method, ("teacher",)), progress.teacher_evals)
    bar = tqdm(total=total, initial=progress.step, desc=title, unit="step", disable=None)
    with interrupt.graceful(), counter, of_teacher, bar:
        if milestones:  # step 0, before training, may be one
            milestones.reach(progress.step, trainer.averaged)
        while progress.step < total:
            before_step = progress.nonfinite_steps
            facts = trainer.step(batches(progress.step))
            if progress.nonfinite_steps > before_step:
                tqdm.write(f"{title}: {_told(progress.step - 1, facts, trainer.settings)}", file=sys.stderr)
            bar.update()
            if milestones:  # before the checkpoint of this step, which promises that they are there
                milestones.reach(progress.step, trainer.averaged)
            now = time.monotonic()
            progress.network_evals, progress.teacher_evals = counter.counted, of_teacher.counted
            progress.seconds = before + now - start
            if progress.step % max(total // 20, 1) == 0 or progress.step == total:
                history.add(title, progress, total, facts | trainer.method.diagnostics())
            if interrupt.requested() or now - saved > checkpoint_seconds or progress.step == total:
                checkpoints.save(trainer.state(), progress)
                saved = now
            if progress.step < total:
                interrupt.check()
    trainer.method.eval()


class _History:
    """Losses over time, in a file beside the checkpoints: one line per twentieth of the training."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        # lines beyond the checkpoint belong to steps that will be made again
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        kept = [line for line in lines if _step_of(line) <= step]
        write_text(path, "".join(f"{line}\n" for line in kept))

    def add(self, title: str, progress: Progress, total: int, facts: dict[str, float]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            line = {key: value if math.isfinite(value) else None for key, value in facts.items()}
            file.write(json.dumps({"step": progress.step, **line}) + "\n")
        shown = "  ".join(f"{key} {value:.4g}" for key, value in facts.items())
        tqdm.write(f"{title}: step {progress.step}/{total}  {progress.seconds:.0f} s  {shown}", file=sys.stderr)


def _told(step: int, facts: dict[str, float], settings: Training) -> str:
    """Return what happened in a step that is not finite."""
    found = ", ".join(f"{key} {value:g}" for key, value in facts.items() if not math.isfinite(value))
    done = {"skip": "passed over", "zero": "made with zeros for what is not finite, if a norm was left"}[
        settings.nonfinite
    ]
    return f"step {step} is not finite ({found}): {done}"


def _step_of(line: str) -> float:
    """Return the step of a line of the history, or infinity for a line that is cut short."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf  # cut short when the training was killed


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _norm(gradients: list[Tensor]) -> Tensor:
    """Return the norm of all gradients together, as torch.nn.utils.clip_grad_norm_ computes it."""
    if not gradients:
        return torch.zeros(())
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def _clip(gradients: list[Tensor], norm: Tensor, limit: float | None) -> None:
    """Scale gradients of a norm down to a norm of `limit`, if there is one, as clip_grad_norm_ does.

    That function takes the norm and scales in one go, and would leave nothing of a gradient that is not finite.
    """
    if limit and gradients:
        torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
