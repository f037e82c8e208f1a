"""Plain regression of the teacher's image from its noise: the control that every distillation must beat.

It is in no paper's table. KD itself, in contrast, is built on a DDPM and pairs of its own.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from hkd.data.trajectories import TrajectoryBatch
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.methods.distances import PerceptualDistance
from hkd.seeding import ImageStreams


class Regression(Method):
    """One step from x_T to x_eps, fitted to the two ends of stored teacher trajectories.

    The network starts as EDM's denoiser at sigma_max, where its c_skip is 4e-6.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        distance: PerceptualDistance | None,
        sigma_max: float,
        lambda2: float,
        target_state: Literal["x_eps", "x_0"],
    ) -> None:
        super().__init__()
        self.student, self.distance = student, distance
        self.sigma_max = sigma_max
        self.lambda2 = lambda2
        self.target_state = target_state

    def losses(self, batch: TrajectoryBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the mean squared error, plus `lambda2` times the perceptual distance where there is one."""
        target = batch.near_clean if self.target_state == "x_eps" else batch.clean
        image = self.student(batch.state(0), self.sigma_max, batch.labels)
        loss = (image - target).square().mean()
        if self.distance is not None:
            loss = loss + self.lambda2 * self.distance(image, self.distance.features(target)).mean()
        return {"student": loss}

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images from one evaluation at sigma_max."""
        if nfe != 1:
            raise refuse_nfe(self, nfe, "1")
        return self.student(self.sigma_max * noise, self.sigma_max, labels)
