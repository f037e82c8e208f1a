"""Reflow and the distillation of a flow: both learn from pairs that an earlier flow made.

Source: Liu, Gong and Liu (2023), "Flow Straight and Fast", arXiv 2209.03003, Sections 2.2 and 5.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from hkd.draws import Draws
from hkd.methods.base import refuse_nfe
from hkd.methods.distances import PerceptualDistance, perceptual_loss
from hkd.methods.flow.rectified import RectifiedFlow
from hkd.seeding import ImageStreams


class Reflow(RectifiedFlow):
    """The k-flow: the loss of the 1-flow, between the noises and the images of the flow before it."""

    def losses(self, batch: Any, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the squared error of the velocity along the lines between the pairs."""
        return {"student": self.error(batch.noise, batch.clean, batch.labels, draws)}


class FlowDistillation(RectifiedFlow):
    """One Euler step over the whole time, fitted to a flow's own pairs: the rows that tables call k-Rectified flow."""

    def __init__(
        self, *, student: nn.Module, distance: PerceptualDistance | None, t_min: float, rtol: float, atol: float
    ) -> None:
        super().__init__(student=student, t_min=t_min, rtol=rtol, atol=atol)
        self.distance = distance

    def losses(self, batch: Any, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the perceptual distance of z_0 + v(z_0, t_min) to the flow's image."""
        return {"student": perceptual_loss(self.distance, self.jump(batch.noise, batch.labels), batch.clean)}

    def jump(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Return z_0 + v(z_0, t_min), one Euler step over the whole time."""
        return noise + self.velocity(noise, noise.new_full((len(noise),), self.t_min), labels)

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images from one evaluation."""
        if nfe != 1:
            raise refuse_nfe(self, nfe, "1")
        return self.jump(noise, labels)
