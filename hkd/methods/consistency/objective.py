"""The objective that CD, CT, iCT and ECM share: the outputs at two points of one trajectory, one of them fixed.

The network at the noisier point is pulled towards the network at the cleaner one, which is held fixed. Both passes
use the same dropout mask; with two masks, their noise would be larger than the small gap between the points.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hkd.diffusion.schedules import edm_sigmas
from hkd.methods.base import Method, refuse_nfe
from hkd.seeding import ImageStreams

Consistency = Callable[[Tensor, Tensor], Tensor]


class ConsistencyModel(Method):
    """Base of CD, CT and iCT: a consistency function f(x, t) on a grid of noise levels, and one-step sampling.

    The network has f(x, sigma_min) = x by its preconditioning (`network.precond: consistency`).
    """

    def __init__(self, *, student: nn.Module, sigma_min: float, sigma_max: float, rho: float) -> None:
        super().__init__()
        self.student = student
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.rho = rho

    def grid(self, points: int) -> Tensor:
        """Return `points` noise levels ascending from sigma_min to sigma_max, float64. Source: CM, Section 3."""
        sigmas = edm_sigmas(points, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)
        return sigmas[:-1].flip(0)

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images from one evaluation at sigma_max."""
        if nfe != 1:
            raise refuse_nfe(self, nfe, "1")
        return self.student(self.sigma_max * noise, self.sigma_max, labels)


def consistency_pair(
    online: Consistency, target: Consistency, noisier: tuple[Tensor, Tensor], cleaner: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return f(x_t, t) with gradient and f⁻(x_r, r) without, evaluated under one dropout mask.

    Args:
        online, target: f and f⁻, called with images (B, C, H, W) and noise levels (B,).
        noisier, cleaner: (x_t, t) and (x_r, r).
    """
    # dropout draws from the device's global generator: put back to the same state, it draws the same mask
    state = _random_state(noisier[0].device)
    prediction = online(*noisier)
    _set_random_state(state, noisier[0].device)
    with torch.no_grad():
        fixed = target(*cleaner)
    return prediction, fixed


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
