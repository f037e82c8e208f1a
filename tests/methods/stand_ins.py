"""Networks and distances that are plain functions, for tests whose answers are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Squared(nn.Module):
    """A stand-in for the perceptual distance: the squared distance of the images themselves."""

    def features(self, images: Tensor) -> list[Tensor]:
        return [images]

    def forward(self, images: Tensor, target: list[Tensor]) -> Tensor:
        return (images - target[0]).square().sum(dim=(1, 2, 3))


class Function(nn.Module):
    """A plain function as a network with one idle parameter, so that it can be differentiated and counted."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function, self.idle = function, nn.Parameter(torch.zeros(()))

    def forward(self, *inputs: Any) -> Tensor:
        return self.function(*inputs) + self.idle
