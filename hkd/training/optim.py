"""Optimisers and learning-rate laws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from hkd.settings import Optimizer, Training

_KINDS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "radam": torch.optim.RAdam,
}


def optimizer(settings: Optimizer, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Return the optimiser that the settings name, over groups that may carry an `lr_scale`."""
    return _KINDS[settings.name](
        groups,
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        foreach=True,
    )


def learning_rate_factor(settings: Training, step: int) -> float:
    """Return what multiplies the learning rate at optimiser step `step`, counted from 0.

    A linear ramp over `warmup_steps`, that starts at 0 as EDM's does, times the schedule: constant, or from 1 to
    `final_lr` along a cosine, a line or an exponential over all steps. A factor g per epoch, E epochs long, is the
    exponential to g^E.
    """
    ramp = min(step / settings.warmup_steps, 1.0) if settings.warmup_steps else 1.0
    done = step / max(settings.steps, 1)
    if settings.schedule == "exponential":
        return ramp * settings.final_lr**done
    falls = {"constant": 1.0, "cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1.0 - done}
    fall = falls[settings.schedule]
    if settings.schedule != "constant":
        fall = settings.final_lr + (1 - settings.final_lr) * fall
    return ramp * fall


def set_learning_rate(optim: torch.optim.Optimizer, settings: Training, step: int, base: float) -> float:
    """Set the learning rate of every group for this step and return that of a group with scale 1."""
    rate = base * learning_rate_factor(settings, step)
    for group in optim.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
    return rate


def named_state(optim: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the optimiser's tensors under `{parameter index}.{name}`; plain numbers become tensors."""
    found = {}
    for index, values in optim.state_dict()["state"].items():
        for key, value in values.items():
            found[f"{index}.{key}"] = value if torch.is_tensor(value) else torch.tensor(float(value))
    return found


def load_named_state(optim: torch.optim.Optimizer, state: dict[str, torch.Tensor]) -> None:
    """Load what `named_state` returned."""
    full = optim.state_dict()
    full["state"] = {}
    for name, value in state.items():
        index, key = name.split(".", 1)
        full["state"].setdefault(int(index), {})[key] = value
    optim.load_state_dict(full)
