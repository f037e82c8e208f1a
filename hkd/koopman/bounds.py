"""Bounds on the rates of an operator, so that exp(A·dt) stays finite over the whole of [eps, T].

All limits are exponents over the longest step s(T), which makes them mean the same under every time map: a limit
of 3 lets a mode grow at most by e^3 on its way from T to eps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Rates(NamedTuple):
    """Growth rate alpha and angular frequency beta (rad) per unit of mapped time; eigenvalues alpha ± i·beta."""

    alpha: Tensor
    beta: Tensor


@dataclass(frozen=True)
class Bounds:
    """Limits on exponents over s(T); None is no limit, and several apply one after the other.

    Attributes:
        alpha_clamp: |alpha|·s(T) is cut off there; beyond it alpha receives no gradient.
        alpha_bound: alpha·s(T) = bound·tanh(raw·s(T) / bound), with slope 1 at 0 so that learning rates compare.
        radius_bound: |alpha ± i·beta|·s(T) = bound·tanh(|raw|·s(T) / bound), keeping the phase of the eigenvalue.
    Raises:
        ValueError: for a limit that is not a positive number.
    Source: ours; HKD bounds nothing, and names exploding gradients from growing eigenvalues as a risk.
    """

    alpha_clamp: float | None = None
    alpha_bound: float | None = None
    radius_bound: float | None = None

    def __post_init__(self) -> None:
        for key, limit in vars(self).items():
            if limit is not None and not 0 < limit < math.inf:
                raise ValueError(f"{key}: must be a positive exponent or null for no limit, got {limit}.")

    def __call__(self, rates: Rates, span: float) -> Rates:
        """Return the rates within their limits, for a longest step of `span` = s(T)."""
        alpha, beta = rates
        if self.alpha_clamp is not None:
            alpha = alpha.clamp(-self.alpha_clamp / span, self.alpha_clamp / span)
        if self.alpha_bound is not None:
            limit = self.alpha_bound / span
            alpha = limit * torch.tanh(alpha / limit)
        if self.radius_bound is not None:
            limit = self.radius_bound / span
            # every operator starts at A = 0: there `tiny` keeps the gradient of the root finite, and the
            # series tanh(r) / r = 1 - r^2 / 3 + O(r^4) replaces a quotient of two vanishing numbers
            radius = (alpha.square() + beta.square() + torch.finfo(alpha.dtype).tiny).sqrt() / limit
            shrink = torch.where(radius < 1e-3, 1 - radius.square() / 3, torch.tanh(radius) / radius)
            alpha, beta = alpha * shrink, beta * shrink
        return Rates(alpha, beta)


class Diagnostics(NamedTuple):
    """Extremes of an operator's rates, which training logs for every level.

    Attributes:
        max_abs_alpha: largest |alpha|.
        spectral_radius: largest |alpha ± i·beta|.
        max_exponent: largest -alpha·s(T), the logarithm of the strongest growth on the way from T to eps.
    """

    max_abs_alpha: float
    spectral_radius: float
    max_exponent: float


def diagnose(rates: Rates, span: float) -> Diagnostics:
    """Return the extremes of an operator's rates; reads values, so not for every step on a GPU."""
    alpha, beta = rates
    extremes = torch.stack((alpha.abs().max(), torch.hypot(alpha, beta).max(), -alpha.min() * span))
    return Diagnostics(*extremes.tolist())
