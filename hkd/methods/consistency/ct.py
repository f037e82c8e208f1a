"""CT: consistency training without a teacher. Neighbours share their image and their noise.

Source: Song et al. (2023), "Consistency Models", arXiv 2303.01469, Algorithm 3; its CIFAR-10 runs in JAX.
"""

from __future__ import annotations

import copy
import math
from typing import Literal

import torch
from torch import Tensor, nn

from hkd.data.image_set import ImageBatch
from hkd.diffusion.schedules import per_image
from hkd.draws import Draws
from hkd.methods.consistency.objective import ConsistencyModel, consistency_pair
from hkd.methods.distances import PerceptualDistance, perceptual_loss


class CT(ConsistencyModel):
    """f pulled towards f⁻, a running average of it, on a grid of N(k) points. The weight of every level is 1.

    `decay_over`: what the law of the average's decay divides by, see `target_decay`.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        distance: PerceptualDistance | None,
        total_steps: int,
        s0: int,
        s1: int,
        mu0: float,
        decay_over: Literal["intervals", "points"],
        sigma_min: float,
        sigma_max: float,
        rho: float,
    ) -> None:
        super().__init__(student=student, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
        self.target = copy.deepcopy(student).requires_grad_(False)
        self.distance, self.total_steps = distance, total_steps
        self.s0, self.s1, self.mu0 = s0, s1, mu0
        self.decay_over = decay_over

    def losses(self, batch: ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return d(f(y + t z, t), f⁻(y + s z, s)) for t and s neighbours on the grid, all pairs equally likely."""
        clean, labels = batch.clean, batch.labels
        points = grid_points(step, self.total_steps, s0=self.s0, s1=self.s1)
        n = draws.integers(points - 1, len(clean))
        grid = self.grid(points).to(n.device)
        t, s = grid[torch.stack((n + 1, n))].to(clean)
        noise = draws.normal(clean.shape).to(clean)
        prediction, target = consistency_pair(
            lambda x, sigma: self.student(x, sigma, labels),
            lambda x, sigma: self.target(x, sigma, labels),
            (clean + per_image(t) * noise, t),
            (clean + per_image(s) * noise, s),
        )
        return {"student": perceptual_loss(self.distance, prediction, target)}

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the target: theta⁻ = mu theta⁻ + (1 - mu) theta."""
        # `step` counts from 1, the schedule from 0: the decay belongs to the grid of the step just made
        points = grid_points(step - 1, self.total_steps, s0=self.s0, s1=self.s1)
        mu = target_decay(points, s0=self.s0, mu0=self.mu0, over=self.decay_over)
        torch._foreach_lerp_(list(self.target.parameters()), list(self.student.parameters()), 1 - mu)

    def initialise(self, name: str, state: dict[str, Tensor]) -> None:
        """Load the same weights into both networks."""
        self.student.load_state_dict(state)
        self.target.load_state_dict(state)


def grid_points(step: int, total: int, *, s0: int, s1: int) -> int:
    """Return N(k) = ceil(sqrt(k/K ((s1 + 1)² - s0²) + s0²) - 1) + 1. Source: CM, Appendix C."""
    return math.ceil(math.sqrt(step / total * ((s1 + 1) ** 2 - s0**2) + s0**2) - 1) + 1


def target_decay(points: int, *, s0: int, mu0: float, over: Literal["intervals", "points"]) -> float:
    """Return mu(k) = exp(s0 ln(mu0) / n) for a grid of `points` points.

    `over`: n is N(k) - 1, the intervals of the grid, as in both official codes, or N(k), its points, as the paper
    prints. Source: CM, Appendix C, and the codes of CM for CIFAR-10 and for ImageNet.
    """
    return math.exp(s0 * math.log(mu0) / (points - 1 if over == "intervals" else points))
