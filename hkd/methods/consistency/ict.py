"""iCT: improved consistency training. No perceptual network, no averaged target; a Huber norm and new laws instead.

Source: Song and Dhariwal (2024), "Improved Techniques for Training Consistency Models", arXiv 2310.14189.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hkd.data.image_set import ImageBatch
from hkd.diffusion.schedules import per_image
from hkd.draws import Draws
from hkd.methods.consistency.objective import ConsistencyModel, consistency_pair
from hkd.methods.distances import pseudo_huber


class ICT(ConsistencyModel):
    """f pulled towards sg(f) on a grid that doubles, with log-normal levels and weights 1 / (t - s).

    `huber`: the constant c of the norm, over the square root of the number of pixels and channels.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        total_steps: int,
        s0: int,
        s1: int,
        p_mean: float,
        p_std: float,
        huber: float,
        sigma_min: float,
        sigma_max: float,
        rho: float,
    ) -> None:
        super().__init__(student=student, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
        self.total_steps = total_steps
        self.s0 = s0
        self.s1 = s1
        self.p_mean = p_mean
        self.p_std = p_std
        self.huber = huber

    def losses(self, batch: ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the Huber norm of f(y + t z, t) - sg f(y + s z, s) over the whole image, divided by t - s."""
        clean = batch.clean
        grid = self.grid(grid_points(step, self.total_steps, s0=self.s0, s1=self.s1))
        weights = level_probabilities(grid, self.p_mean, self.p_std)
        n = draws.choices(weights, len(clean))
        grid = grid.to(n.device)
        t, s = grid[torch.stack((n + 1, n))].to(clean)
        noise = draws.normal(clean.shape).to(clean)

        def f(x: Tensor, sigma: Tensor) -> Tensor:
            return self.student(x, sigma, batch.labels)

        noisier, cleaner = (clean + per_image(t) * noise, t), (clean + per_image(s) * noise, s)
        prediction, target = consistency_pair(f, f, noisier, cleaner)
        c = self.huber * math.sqrt(clean[0].numel())
        return {"student": (pseudo_huber(prediction, target, c) / (t - s)).mean()}


def grid_points(step: int, total: int, *, s0: int, s1: int) -> int:
    """Return N(k) = min(s0 2^floor(k/K'), s1) + 1 with K' = floor(K / (log2 floor(s1/s0) + 1)).

    Source: iCT, Table 1.
    """
    stage = max(math.floor(total / (math.log2(s1 // s0) + 1)), 1)
    return min(s0 * 2 ** (step // stage), s1) + 1


def level_probabilities(grid: Tensor, p_mean: float, p_std: float) -> Tensor:
    """Return the probability of each interval of an ascending grid under ln t ~ N(p_mean, p_std²), (N - 1,).

    Source: iCT, Section 3.5.
    """
    cumulative = torch.erf((grid.log() - p_mean) / (math.sqrt(2) * p_std))
    mass = cumulative.diff()
    return mass / mass.sum()
