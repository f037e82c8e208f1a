"""Closure: does evolving the latents of x_T to s give the latents of x_s, and decoding them x_s?

HKD's loss decodes at eps only, so nothing asks the flow between T and eps to follow the encoder along a trajectory.
Whether "every intermediate state is accessible" is therefore measured here, and can be asked for by a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hkd.koopman.hierarchy import HKDNet, Sigma


class ClosureError(NamedTuple):
    """Errors along trajectories, float64, each relative: root mean square of the difference over that of the target.

    Attributes:
        sigmas: (S,) noise levels.
        latent: (S, L) evolved latent against the encoding of x_s, per latent.
        state: (S,) decoded evolved latents against x_s: is the state itself accessible?
        clean: (S,) decoded evolved latents against x_eps: or is it always the clean image?
        one_step: (S,) the clean image predicted from x_T against that predicted from x_s.
    """

    sigmas: Tensor
    latent: Tensor
    state: Tensor
    clean: Tensor
    one_step: Tensor


@torch.no_grad()
def closure_error(
    net: HKDNet, states: Tensor, sigmas: Sequence[float], class_labels: Tensor | None = None
) -> ClosureError:
    """Return the closure errors over stored trajectories.

    Args:
        states: (S, B, C, H, W), one state per noise level; the first is where the evolution starts, the last x_eps.
        sigmas: S descending noise levels within [eps, T].
    Source: ours; HKD, section 3, claims access to all intermediate states.
    """
    start, eps = sigmas[0], net.settings.sigma_min
    first = net.encode(states[0], start, class_labels)
    direct = net(states[0], start, class_labels)
    rows = []
    for x, sigma in zip(states, sigmas, strict=True):
        moved, encoded = net.evolve(first, start, sigma), net.encode(x, sigma, class_labels)
        image = net.decode(moved, class_labels, x=states[0], sigma=start, latent_sigma=sigma)
        predicted = net.decode(net.evolve(encoded, sigma, eps), class_labels, x=x, sigma=sigma)
        latent = torch.stack([relative_error(a, b) for a, b in zip(moved, encoded, strict=True)])
        rows.append(
            (latent, relative_error(image, x), relative_error(image, states[-1]), relative_error(direct, predicted))
        )
    columns = [torch.stack(column).cpu() for column in zip(*rows, strict=True)]
    return ClosureError(torch.tensor(sigmas, dtype=torch.float64), *columns)


def closure_loss(
    net: HKDNet, x_from: Tensor, sigma_from: Sigma, x_to: Tensor, sigma_to: Sigma, class_labels: Tensor | None = None
) -> Tensor:
    """Return the mean over latents of |exp(A·dt) E(x_from) - sg(E(x_to))|^2 / |sg(E(x_to))|^2, a scalar.

    The target is not differentiated: otherwise the encoder could shrink all latents to close the gap.

    Args:
        x_from, x_to: two states of the same trajectories at noise levels sigma_from and sigma_to.
    Source: ours, an optional term beside HKD's loss.
    """
    moved = net.evolve(net.encode(x_from, sigma_from, class_labels), sigma_from, sigma_to)
    return latent_gap(moved, net.encode(x_to, sigma_to, class_labels))


def latent_gap(moved: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Return the mean over latents of |moved - sg(target)|^2 / |sg(target)|^2, a scalar: the loss, of given latents."""
    return torch.stack([_ratio(a, b.detach()) for a, b in zip(moved, targets, strict=True)]).mean()


def relative_error(x: Tensor, target: Tensor) -> Tensor:
    """Return the root of |x - target|^2 / |target|^2, float64; nan for a target of zero that is met."""
    return _ratio(x.double(), target.double()).sqrt()


def _ratio(x: Tensor, target: Tensor) -> Tensor:
    return (x - target).square().sum() / target.square().sum()
