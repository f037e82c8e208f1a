"""The closure loss: the latents of x_T, evolved to noise level s, shall equal the latents of x_s.

It lies apart from the study that measures closure, so that a change of the measurement retrains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hkd.koopman.hierarchy import HKDNet, Sigma


def closure_loss(
    net: HKDNet, x_from: Tensor, sigma_from: Sigma, x_to: Tensor, sigma_to: Sigma, class_labels: Tensor | None = None
) -> Tensor:
    """Return the closure loss of one pair of noise levels, a scalar.

    It is the mean over latents of |exp(A·dt) E(x_from) - sg(E(x_to))|^2 / |sg(E(x_to))|^2. The target is
    not differentiated (sg): otherwise the encoder could shrink all latents to close the gap.

    Args:
        x_from, x_to: two states of the same trajectories at noise levels sigma_from and sigma_to.
    Source: ours, an optional term beside HKD's loss.
    """
    moved = net.evolve(net.encode(x_from, sigma_from, class_labels), sigma_from, sigma_to)
    return latent_gap(moved, net.encode(x_to, sigma_to, class_labels))


def latent_gap(moved: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Return the closure loss of given latents: the mean of |moved - sg(target)|^2 / |sg(target)|^2, a scalar."""
    return torch.stack([squared_ratio(a, b.detach()) for a, b in zip(moved, targets, strict=True)]).mean()


def squared_ratio(x: Tensor, target: Tensor) -> Tensor:
    """Return |x - target|^2 / |target|^2; nan where both are zero."""
    return (x - target).square().sum() / target.square().sum()
