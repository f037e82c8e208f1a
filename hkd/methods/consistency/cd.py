"""CD: consistency distillation. Neighbours on the teacher's trajectory are found by one Heun step of the teacher.

Source: Song et al. (2023), "Consistency Models", arXiv 2303.01469, Algorithm 2; its CIFAR-10 runs in JAX.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hkd.data.image_set import ImageBatch
from hkd.diffusion.schedules import per_image
from hkd.draws import Draws
from hkd.methods.consistency.objective import ConsistencyModel, consistency_pair
from hkd.methods.distances import PerceptualDistance, perceptual_loss


class CD(ConsistencyModel):
    """f pulled towards sg(f) one teacher's step nearer to the data. The target network is the student itself.

    `points`: of the fixed grid, all of whose intervals are equally likely. The weight of every level is 1.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        teacher: nn.Module,
        distance: PerceptualDistance | None,
        points: int,
        sigma_min: float,
        sigma_max: float,
        rho: float,
    ) -> None:
        super().__init__(student=student, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
        self.teacher = teacher
        self.distance = distance
        self.points = points

    def losses(self, batch: ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return d(f(x_t, t), sg f(x_s, s)), where Heun's method on the teacher's ODE takes x_t to x_s."""
        clean, labels = batch.clean, batch.labels
        n = draws.integers(self.points - 1, len(clean))
        grid = self.grid(self.points).to(n.device)
        t, s = grid[torch.stack((n + 1, n))].to(clean)
        x = clean + per_image(t) * draws.normal(clean.shape).to(clean)
        nearer = heun_step(lambda x, sigma: self.teacher(x, sigma, labels), x, t, s)

        def f(x: Tensor, sigma: Tensor) -> Tensor:
            return self.student(x, sigma, labels)

        prediction, target = consistency_pair(f, f, (x, t), (nearer, s))
        return {"student": perceptual_loss(self.distance, prediction, target)}


@torch.no_grad()
def heun_step(denoiser: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Return the state at noise levels s > 0, from x at noise levels t, both (B,), in two evaluations."""
    here = (x - denoiser(x, t)) / per_image(t)
    ahead = x + per_image(s - t) * here
    there = (ahead - denoiser(ahead, s)) / per_image(s)
    return x + per_image(s - t) * (here + there) / 2
