"""One optimiser step of every trained network: gradients, clipping, steps that are not finite, averages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hkd import interrupt
from hkd.draws import of_step
from hkd.methods.base import Method
from hkd.seeding import address
from hkd.settings.sections import Training
from hkd.store.refusals import Refused, of_memory
from hkd.training import nonfinite
from hkd.training.checkpoint import Progress
from hkd.training.ema import Average, ema_decay
from hkd.training.optim import Adaptive, load_named_state, named_state, set_learning_rate
from hkd.training.parts import Part
from hkd.training.ranks import ALONE, Ranks


class Trainer:
    """The state of a training: weights, averages, optimisers, and the step reached.

    Step k draws from the streams (seed, ..., k) alone, so a training that was stopped and resumed makes the same
    steps as one that ran through, to the bit on one CPU thread.

    Args:
        ranks: the processes that train together.
        immediate: whether losses are read, and steps that are not finite counted, in the step itself. On a CPU that
            costs nothing; on a GPU the host would wait in every step for what it needs only now and then.
    Attributes:
        asked_to_stop: whether this process or another was asked to stop before the latest step was made.
        state_is_due: set by who saves states; asked_to_save: whether that was so of any process before the latest step.
        flops: operations of a step for one image, where they were counted.
        peak: what the device can do at most (FLOP/s) in the precision of this training, where that is known.
        remarks: lines about steps that are not finite, until whoever logs takes them.
    """

    def __init__(
        self,
        method: Method,
        settings: Training,
        *,
        seed: int,
        code: str = "",
        ranks: Ranks = ALONE,
        immediate: bool | None = None,
    ) -> None:
        self.method = method
        self.ranks = ranks
        self.device = next(method.parameters(), torch.zeros(())).device
        self.immediate = self.device.type == "cpu" if immediate is None else immediate
        self.remarks: list[str] = []
        self.asked_to_stop = self.asked_to_save = self.state_is_due = False
        self.flops: float | None = None
        self.peak: float | None = None
        self._apart = False
        self._recent: list[dict[str, float]] = []
        self._pending: list[tuple[int, dict[str, Tensor | float]]] = []
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
        """Make the next step with a whole batch; see `step_in_parts`."""
        return self.step_in_parts([Part(0, 1.0, batch)])

    def step_in_parts(self, parts: Iterable[Part]) -> dict[str, float]:
        """Make one optimiser step of every trained network and return losses, gradient norms and learning rate.

        A network whose loss or gradient is not finite is passed over, or stepped with zeros in its gradient, as
        `training.nonfinite` says; a gradient that is too large to have a norm is passed over in either case.

        Args:
            parts: of the step's batch that this process takes, one after the other.
        Raises:
            Diverged: there were too many such steps.
            TooLarge: a device has no room for a part; the step has not been made.
            NoRoom: it has none for what changes weights.
            Lost: another process has gone.
        """
        losses = self._gradients(parts, self.progress.step)
        try:
            return self._moved(losses)
        except (MemoryError, RuntimeError) as error:
            if not of_memory(error):
                raise
            raise NoRoom(self.progress.step, self.device, error) from error

    def _moved(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """Move weights and averages along the gradients that are there, and return what `step_in_parts` does."""
        step = self.progress.step
        facts: dict[str, Tensor | float] = {}
        peak = self.settings.optimizer.lr * self.method.rate_factor(step)
        decay = ema_decay(self.settings.ema, step=step, batch=self.settings.batch)
        passed: dict[str, Tensor | bool] = {}
        for name, loss in losses.items():
            rate = set_learning_rate(self.optimizers[name], self.settings, step, peak)
            gradients = [p.grad for p in getattr(self.method, name).parameters() if p.grad is not None]
            norm = _norm(gradients, loss.device)
            facts |= {f"loss/{name}": loss, f"grad_norm/{name}": norm, "lr": rate}
            passed[name] = self._ready(name, loss, norm, gradients, facts)
            if passed[name] is not True:
                self.optimizers[name].step(passed[name])
        for name, skip in passed.items():
            if skip is not True:
                self.averages[name].update(getattr(self.method, name), decay, skip)
        self.progress.step += 1
        self.method.after_step(self.progress.step)
        if self.method.forgets(self.progress.step):
            self.optimizers = self._fresh_optimizers()
        self._pending.append((step, facts))
        return self.read() if self.immediate else {}

    def _ready(
        self, name: str, loss: Tensor, norm: Tensor, gradients: list[Tensor], facts: Mapping[str, Tensor | float]
    ) -> Tensor | bool:
        """Make a gradient ready for the optimiser; return whether its step is passed over, on the device if need be.

        Raises:
            Diverged: there were too many steps that are not finite, and reading them costs nothing.
        """
        finite = torch.isfinite(loss) & torch.isfinite(norm)
        if self.immediate and finite:
            _clip(gradients, norm, self.settings.clip)
            return False
        if self.immediate:
            self._note(self.progress.step, {key: float(value) for key, value in facts.items()})
        if self.settings.nonfinite == "zero":
            nonfinite.zero(gradients)
            norm = _norm(gradients, loss.device)
            finite = torch.isfinite(norm)  # a gradient may be finite, but too large to be squared
        if not self.immediate:
            _clip(gradients, norm, self.settings.clip)
            return ~finite
        if not finite:
            return True
        _clip(gradients, norm, self.settings.clip)
        return False

    def read(self) -> dict[str, float]:
        """Return losses, norms and learning rate of the latest step; count steps since the last call as they deserve.

        On a GPU this waits for it, so it is called now and then; all numbers come in one copy.

        Raises:
            Diverged: there were too many steps that are not finite.
        """
        steps, self._pending = self._pending, []
        on_device = [value for _, facts in steps for value in facts.values() if isinstance(value, Tensor)]
        numbers = iter(torch.stack(on_device).tolist() if on_device else [])
        found = self._recent[-1] if self._recent else {}
        for step, facts in steps:
            found = {key: next(numbers) if isinstance(value, Tensor) else value for key, value in facts.items()}
            if not self.immediate and not all(map(math.isfinite, found.values())):
                self._note(step, found)
            self._recent.append(found)
        return found

    def take_recent(self) -> list[dict[str, float]]:
        """Return losses and norms of all steps that were read since this was last asked."""
        taken, self._recent = self._recent, []
        return taken

    def _note(self, step: int, facts: Mapping[str, float]) -> None:
        if not self.progress.nonfinite or self.progress.nonfinite[-1] != step:  # once, however many networks it has
            self.remarks.append(_told(step, facts, self.settings))
            nonfinite.note(self.progress, step, self.settings.steps, facts)

    def _gradients(self, parts: Iterable[Part], step: int) -> dict[str, Tensor]:
        """Leave the gradient of the whole batch in every trained network, and return the losses, detached.

        Raises:
            TooLarge: a device has no room for a part. Nothing has changed but the gradients.
        """
        weights = {name: _trained(getattr(self.method, name)) for name in self.method.trains}
        for optim in self.optimizers.values():
            optim.zero_grad()
        total: dict[str, Tensor] = {}
        full = False
        try:
            for part in parts:
                self._add_gradients(part, step, weights, total)
        except (MemoryError, RuntimeError) as error:
            if not of_memory(error):
                raise
            full = True
        gradients = [p.grad for name in total for p in weights[name] if p.grad is not None]
        exchanged = [*gradients, *total.values()]
        flat = None if full else self.ranks.flat(exchanged)
        # agreed upon here, where all processes meet: one that left alone would leave the others waiting
        flags = self.ranks.any(full, flat is None, interrupt.requested(), self.state_is_due)
        any_full, apart, self.asked_to_stop, self.asked_to_save = flags
        if any_full:
            for optim in self.optimizers.values():
                optim.zero_grad()
            raise TooLarge(here=full)
        if apart and not self._apart and self.ranks.size > 1:
            self.remarks.append(f"step {step}: no room for all gradients as one tensor, so each is exchanged by itself")
        self._apart = apart
        self.ranks.add_up(exchanged, None if apart else flat)
        return total

    def _add_gradients(
        self, part: Part, step: int, weights: Mapping[str, list[Tensor]], total: dict[str, Tensor]
    ) -> None:
        """Add a part's gradients to those that are there, and its losses to `total`."""
        # dropout draws from torch's global generator, which is therefore set anew, for other masks in every part
        torch.manual_seed(address(self.seed, "dropout", step, *([part.first] if part.first else [])))
        for name, loss in self._losses(part, step).items():
            loss = loss if part.share == 1 else loss * part.share
            # a network's loss may also reach others, whose gradients are no business of it
            loss.backward(inputs=weights[name])
            total[name] = total[name] + loss.detach() if name in total else loss.detach()

    def _losses(self, part: Part, step: int) -> dict[str, Tensor]:
        size = None if part.share == 1 else self.settings.batch
        law = self.settings.draws
        drawn = of_step(law, self.seed, step, batch=size, first=part.first, device=self.device)
        return self.method.losses(part.batch, step=step, draws=drawn)

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


class TooLarge(RuntimeError):
    """A device has no room for a part of a batch of this size; `here`: that of this process."""

    def __init__(self, *, here: bool) -> None:
        super().__init__("out of memory")
        self.here = here


class NoRoom(Refused):
    """A device has no room for an optimiser's moments, or for what a step needs beside networks and gradients."""

    def __init__(self, step: int, device: torch.device, error: BaseException) -> None:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        super().__init__(
            f"step {step}: {device} has no room for optimiser and averages beside the networks ({why[:200]}); "
            "free some of its memory or take a larger one, and the same command goes on from the last state"
        )


def _trained(network: nn.Module) -> list[Tensor]:
    return [p for p in network.parameters() if p.requires_grad]


def _told(step: int, facts: Mapping[str, float], settings: Training) -> str:
    """Return what happened in a step that is not finite."""
    found = ", ".join(f"{key} {value:g}" for key, value in facts.items() if not math.isfinite(value))
    done = {"skip": "passed over", "zero": "made with zeros for what is not finite, if a norm was left"}[
        settings.nonfinite
    ]
    return f"step {step} is not finite ({found}): {done}"


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _norm(gradients: list[Tensor], device: torch.device | None = None) -> Tensor:
    """Return the norm of all gradients together, as torch.nn.utils.clip_grad_norm_ computes it."""
    if not gradients:
        return torch.zeros((), device=device)
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def _clip(gradients: list[Tensor], norm: Tensor, limit: float | None) -> None:
    """Scale gradients of a norm down to a norm of `limit`, if there is one, as clip_grad_norm_ does.

    That function takes the norm and scales in one go, and would leave nothing of a gradient that is not finite.
    """
    if limit and gradients:
        torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
