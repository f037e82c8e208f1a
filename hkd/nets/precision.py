"""Networks that compute in bfloat16, and nothing else that does.

What a decorated method makes of its inputs runs under autocast, if its network was told so, and comes out in float32:
so preconditioning, losses, exp(A·dt), optimisers and averages never see another type.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

Made = TypeVar("Made")


def in_its_precision(function: Callable[..., Made]) -> Callable[..., Made]:
    """Decorate a method of a network, whose first argument is a tensor or a list of tensors."""

    @wraps(function)
    def run(network: nn.Module, inputs: Any, *more: Any, **named: Any) -> Made:
        narrow = cast("torch.dtype | None", getattr(network, "precision", None))
        device = (inputs if isinstance(inputs, Tensor) else inputs[0]).device.type
        if narrow is None or torch.is_autocast_enabled(device):  # within another method of a network
            return function(network, inputs, *more, **named)
        with torch.autocast(device, dtype=narrow):
            made = function(network, inputs, *more, **named)
        return cast(Made, made.float() if isinstance(made, Tensor) else [x.float() for x in cast(Any, made)])

    return run


def narrow(method: nn.Module) -> None:
    """Have every network within a method compute in bfloat16, those that it only learns from too.

    What measures stays as it is: perceptual networks and discriminators have no such method.
    """
    for part in method.modules():
        if hasattr(type(part), "precision"):
            part.precision = torch.bfloat16  # type: ignore[assignment]
