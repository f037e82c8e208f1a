"""Optimisers, and the schedule of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.radam import radam

from hkd.settings.sections import Optimizer, Training
from hkd.training.nonfinite import unless

Step = Callable[..., None]
_NO_MAXIMUM = {"max_exp_avg_sqs": [], "amsgrad": False}
_KINDS: dict[str, tuple[Step, dict[str, Any]]] = {
    "adam": (adam, _NO_MAXIMUM),
    "adamw": (adamw, _NO_MAXIMUM),
    "radam": (radam, {}),
}


class Adaptive:
    """Adam, AdamW or RAdam in torch's own arithmetic, called as functions.

    The classes of torch.optim load torch's compiler when they are made. Few trainings here use it, and loading it
    takes longer than a short training.

    On a GPU nothing of a step is read by the host: Adam and AdamW are torch's fused kernels, RAdam its capturable form,
    and the count of steps lies on the device. On a CPU they are torch's `foreach` forms, whose bits never change.
    """

    def __init__(self, settings: Optimizer, groups: list[dict[str, Any]]) -> None:
        self.settings = settings
        self.param_groups = [{"lr": settings.lr, **group, "params": list(group["params"])} for group in groups]
        self.state: dict[int, dict[str, Tensor]] = {}

    @property
    def parameters(self) -> list[Tensor]:
        """Parameters of all groups; `state` is keyed by the position in this list."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, skip: Tensor | bool = False) -> None:
        """Move every parameter that has a gradient.

        Args:
            skip: whether parameters and moments stay as they are; a tensor where only the device knows.
        """
        if skip is True:
            return
        # `first` is the position of a group's first parameter in `parameters`, by which `state` is keyed
        first = 0
        for group in self.param_groups:
            moved = [(first + k, p) for k, p in enumerate(group["params"]) if p.grad is not None]
            self.state |= {index: _fresh(p) for index, p in moved if index not in self.state}
            if moved:
                self._move([p for _, p in moved], [self.state[index] for index, _ in moved], group["lr"], skip)
            first += len(group["params"])

    def _move(
        self, parameters: list[Tensor], states: list[dict[str, Tensor]], rate: float, skip: Tensor | bool
    ) -> None:
        function, more = _KINDS[self.settings.name]
        ways = _ways(self.settings.name, parameters[0].device, skip)
        moments = {f"{key}s": [state[key] for state in states] for key in ("exp_avg", "exp_avg_sq")}
        steps = [state["step"] for state in states]
        changed = [*parameters, *moments["exp_avgs"], *moments["exp_avg_sqs"], *steps]
        beta1, beta2 = self.settings.betas
        with unless(skip if "found_inf" not in ways else False, changed):  # some forms pass a step over themselves
            function(
                parameters,
                [p.grad for p in parameters if p.grad is not None],
                **moments,
                state_steps=steps,
                beta1=beta1,
                beta2=beta2,
                lr=rate,
                weight_decay=self.settings.weight_decay,
                eps=self.settings.eps,
                maximize=False,
                **ways,
                **more,
            )


def _ways(name: str, device: torch.device, skip: Tensor | bool) -> dict[str, Any]:
    """Return in which of its forms torch makes the step: all are the same arithmetic, rounded differently."""
    if device.type != "cuda":
        return {"foreach": True}
    if name == "radam":
        return {"foreach": True, "capturable": True}
    return {"fused": True, "found_inf": skip.to(torch.float32)} if isinstance(skip, Tensor) else {"fused": True}


def _home_of_steps(parameter: Tensor) -> torch.device:
    """Return where the count of a parameter's steps lies: with the one who reads it, the device or the host."""
    return parameter.device if parameter.device.type == "cuda" else torch.device("cpu")


def _fresh(parameter: Tensor) -> dict[str, Tensor]:
    return {
        # with the one who reads it: on a GPU only the device may know whether a step is made
        "step": torch.zeros((), dtype=torch.float32, device=_home_of_steps(parameter)),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }


def learning_rate_factor(settings: Training, step: int) -> float:
    """Return the factor of the learning rate at optimiser step `step`, counted from 0: warm-up times schedule.

    The warm-up is a linear ramp over `warmup_steps` that starts at 0, as EDM's does. With d the share of all steps
    that is done and f = `final_lr`, the schedule is

        constant      1
        linear        f + (1 - f) (1 - d)
        cosine        f + (1 - f) (1 + cos(pi d)) / 2, as Loshchilov and Hutter (2017) without restarts
        exponential   f^d; a factor g per epoch over E epochs is f = g^E
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


def set_learning_rate(optim: Adaptive, settings: Training, step: int, base: float) -> float:
    """Set the learning rate of every group for this step and return that of a group with scale 1."""
    rate = base * learning_rate_factor(settings, step)
    for group in optim.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
    return rate


def named_state(optim: Adaptive) -> dict[str, Tensor]:
    """Return the optimiser's tensors under `{parameter index}.{name}`."""
    return {f"{index}.{key}": value for index, values in optim.state.items() for key, value in values.items()}


def load_named_state(optim: Adaptive, state: dict[str, Tensor]) -> None:
    """Load what `named_state` returned."""
    parameters, optim.state = optim.parameters, {}
    for name, value in state.items():
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        to = _home_of_steps(parameter) if key == "step" else parameter.device
        optim.state.setdefault(int(index), {})[key] = value.to(to, copy=True)
