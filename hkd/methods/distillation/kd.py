"""KD: knowledge distillation. One step learns the image that DDIM makes of the same noise.

Source: Luhman and Luhman (2021), "Knowledge Distillation in Iterative Generative Models", arXiv 2101.02388.
"""

from __future__ import annotations

from torch import Tensor, nn

from hkd.data.trajectories import TrajectoryBatch
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.seeding import ImageStreams


class KD(Method):
    """x = z - eps(z, time): DDPM's network at its last time step, whose output is the residual to the image."""

    def __init__(self, *, student: nn.Module, time: float) -> None:
        super().__init__()
        self.student, self.time = student, time

    def losses(self, batch: TrajectoryBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the absolute error, summed over pixels and averaged over the batch.

        This is the loss of the CIFAR-10 code; the paper prints squares. Targets are cut off at -1 and 1, because those
        of the code are stored as bytes.
        """
        error = self.image(batch.noise, batch.labels) - batch.clean.clamp(-1, 1)
        return {"student": error.abs().sum(dim=(1, 2, 3)).mean()}

    def image(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Return z - eps(z, time), without factors of the diffusion."""
        return noise - self.student(noise, noise.new_full((1,), self.time), labels)

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images from one evaluation."""
        if nfe != 1:
            raise refuse_nfe(self, nfe, "1")
        return self.image(noise, labels)

    def one_step(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return the image of the state scaled to unit variance, because the network was trained on pure noise only."""
        return self.image(x / (1 + sigma**2) ** 0.5, labels)
