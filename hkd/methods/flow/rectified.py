"""Rectified flow: the velocity of straight lines from noise, at time 0, to data, at time 1.

Source: Liu, Gong and Liu (2023), "Flow Straight and Fast", arXiv 2209.03003; the official ImageGeneration code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hkd.diffusion.adaptive import rk45
from hkd.diffusion.schedules import per_image
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.seeding import ImageStreams


class RectifiedFlow(Method):
    """A velocity v(z_t, t) with z_t = t x + (1 - t) z_0: the 1-flow, trained on images.

    `t_min`: the smallest time, in training and in sampling. `rtol`, `atol`: tolerances of the solver that makes pairs.
    """

    def __init__(self, *, student: nn.Module, t_min: float, rtol: float, atol: float) -> None:
        super().__init__()
        self.student = student
        self.t_min = t_min
        self.rtol = rtol
        self.atol = atol

    def losses(self, batch: Any, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the squared error of the velocity between images and fresh noise (Eq. 1)."""
        noise = draws.normal(batch.clean.shape).to(batch.clean)
        return {"student": self.error(noise, batch.clean, batch.labels, draws)}

    def error(self, noise: Tensor, image: Tensor, labels: Tensor | None, draws: Draws) -> Tensor:
        """Return (v(z_t, t) - (x - z_0))² at uniform times, averaged over pixels."""
        t = (self.t_min + (1 - self.t_min) * draws.uniform((len(image),))).to(image)
        state = per_image(t) * image + per_image(1 - t) * noise
        return (self.velocity(state, t, labels) - (image - noise)).square().mean()

    def velocity(self, state: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return v at times (B,) in [0, 1], which the network takes times 999, as the official code does."""
        return self.student(state.to(torch.float32), 999 * t.to(torch.float32), labels)

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images by Euler's method in `nfe` steps of 1 / nfe."""
        if nfe < 1:
            raise refuse_nfe(self, nfe, "1 or more")
        state = noise.to(torch.float64)
        for i in range(nfe):
            t = state.new_full((len(state),), self.t_min + i / nfe * (1 - self.t_min))
            state = state + self.velocity(state, t, labels) / nfe
        return state.to(torch.float32)

    def solve(self, noise: Tensor, *, labels: Tensor | None) -> Tensor:
        """Return the images at the end of the ODE from t_min to 1, solved to the set tolerance.

        They are the pairs from which reflow and distillation learn.
        """

        def velocity(state: Tensor, t: Tensor, rows: Tensor) -> Tensor:
            return self.velocity(state, t, None if labels is None else labels[rows])

        return rk45(velocity, noise, self.t_min, 1.0, rtol=self.rtol, atol=self.atol).to(torch.float32)

    def one_step(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return the image at the end of a straight line along the velocity, from the time of noise level sigma."""
        # at time t the ratio of noise to data is (1 - t) / t = sigma
        t = max(1 / (1 + sigma), self.t_min)
        state = x / (1 + sigma)
        return state + (1 - t) * self.velocity(state, state.new_full((len(state),), t), labels)
