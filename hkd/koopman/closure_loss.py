"""The closure loss: the latents of x_T, evolved to noise level s, shall equal the latents of x_s.

It lies apart from the study that measures closure, so that a change of the measurement retrains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from hkd.koopman.hierarchy import HKDNet, Sigma

ClosureNorm = Literal["image", "batch"]


def closure_loss(
    net: HKDNet,
    x_from: Tensor,
    sigma_from: Sigma,
    x_to: Tensor,
    sigma_to: Sigma,
    class_labels: Tensor | None = None,
    *,
    norm: ClosureNorm,
) -> Tensor:
    """Return the closure loss of one pair of noise levels, a scalar.

    It is the mean over latents of |exp(A·dt) E(x_from) - sg(E(x_to))|^2 / |sg(E(x_to))|^2. The target is
    not differentiated (sg): otherwise the encoder could shrink all latents to close the gap.

    Args:
        x_from, x_to: two states of the same trajectories at noise levels sigma_from and sigma_to.
        norm: see `latent_gap`.
    Source: ours, an optional term beside HKD's loss.
    """
    moved = net.evolve(net.encode(x_from, sigma_from, class_labels), sigma_from, sigma_to)
    return latent_gap(moved, net.encode(x_to, sigma_to, class_labels), norm)


def latent_gap(moved: Sequence[Tensor], targets: Sequence[Tensor], norm: ClosureNorm) -> Tensor:
    """Return the closure loss of given latents: the mean of |moved - sg(target)|^2 / |sg(target)|^2, a scalar.

    Args:
        norm: over each `image` by itself, and the mean over images; or over the whole `batch` at once, which weights
            images by the size of their latents and is no mean over parts of a batch.
    """
    ratio = squared_ratio if norm == "batch" else _mean_ratio
    return torch.stack([ratio(a, b.detach()) for a, b in zip(moved, targets, strict=True)]).mean()


def squared_ratio(x: Tensor, target: Tensor) -> Tensor:
    """Return |x - target|^2 / |target|^2; nan where both are zero."""
    return (x - target).square().sum() / target.square().sum()


def _mean_ratio(x: Tensor, target: Tensor) -> Tensor:
    """Return the mean over images of `squared_ratio`."""
    return ((x - target).square().flatten(1).sum(dim=1) / target.square().flatten(1).sum(dim=1)).mean()
