"""Steps whose loss or gradient is not finite: what becomes of their gradients, and how many a training survives.

Every step draws its own numbers, so that one bad step says nothing about the next. It is made with zeros in place of
what is not finite, or passed over, as `training.nonfinite` says; either way it counts as a step, and a resumed training
meets the same ones. More than one in a hundred of them end a training: it diverges.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from hkd.training.checkpoint import Progress

WINDOW = 1000
"""How many steps are looked back on; all of a shorter training."""


class Diverged(RuntimeError):
    """More steps than a training survives were not finite. In the last one the network in question was not stepped."""

    def __init__(self, step: int, message: str) -> None:
        super().__init__(f"step {step}: {message}; lower training.optimizer.lr or set training.clip")
        self.step = step


def note(progress: Progress, step: int, total: int, facts: Mapping[str, float]) -> None:
    """Count a step as one that is not finite.

    Args:
        step: its number, counted from 0.
        total: steps of the whole training.
        facts: losses and norms of the step, for the message.
    Raises:
        Diverged: of the last `WINDOW` steps, more than a hundredth were like it, and it is not the only one.
    """
    window = min(total, WINDOW)
    # as a longer training would keep them, which may go on from here
    progress.nonfinite = [*(k for k in progress.nonfinite if k > step - WINDOW), step]
    progress.nonfinite_steps += 1
    recent = sum(k > step - window for k in progress.nonfinite)
    if recent > max(1, window // 100):
        found = ", ".join(f"{key} {value:g}" for key, value in facts.items() if not math.isfinite(value))
        many = f"{recent} of the last {window:,} steps were not finite"
        raise Diverged(step, f"{many} ({found})")


def zero(gradients: Sequence[Tensor]) -> None:
    """Put 0 in place of NaN, and ±1e5 in place of ±infinity. Source: the official codes of EDM, ECT and KDM."""
    for gradient in gradients:
        torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5, out=gradient)


@contextmanager
def unless(skip: Tensor | bool, tensors: Sequence[Tensor]) -> Iterator[None]:
    """Undo what the block does to tensors if `skip` is a tensor that turns out true, without waiting for its value."""
    if not isinstance(skip, Tensor):
        yield
        return
    before = [tensor.clone() for tensor in tensors]
    yield
    for tensor, old in zip(tensors, before, strict=True):
        tensor.copy_(torch.where(skip.to(tensor.device), old, tensor))
