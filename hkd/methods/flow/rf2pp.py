"""2-Rectified flow++: a 2-flow on pairs of an EDM, good in one step without distillation.

Source: Lee, Lin and Fanti (2024), "Improving the Training of Rectified Flows", arXiv 2405.20320, configuration F.
Time runs the other way than in `rectified`: t = 0 is data and t = 1 is noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hkd.data.trajectories import TrajectoryBatch
from hkd.diffusion.schedules import per_image
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.methods.distances import PerceptualDistance, pseudo_huber
from hkd.seeding import ImageStreams


class RF2PlusPlus(Method):
    """A velocity v(z_t, t) = (z_t - D) / t with z_t = (1 - t) x + t z, made of EDM's denoiser D.

    D is evaluated at z_t / (1 - t) and sigma = t / (1 - t): the same state on EDM's scale.
    `t_margin`: times lie within [t_margin, 1 - t_margin]. `t_rate`: of the two exponentials that times are drawn from.
    `huber`: the constant c of the norm, over the number of pixels and channels.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        distance: PerceptualDistance | None,
        t_margin: float,
        t_rate: float,
        huber: float,
    ) -> None:
        super().__init__()
        self.student, self.distance = student, distance
        self.t_margin = t_margin
        self.t_rate = t_rate
        self.huber = huber

    def losses(self, batch: TrajectoryBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return (1 - t) Huber(v, z - x) / d + perceptual(D, x) / t, averaged over the batch (Table 1, row F).

        Images are cut off at -1 and 1, because those of the official code are stored as bytes.
        """
        if self.distance is None:
            raise ValueError("this loss has a perceptual part: set `perceptual: true` in the method's config")
        image, noise = batch.clean.clamp(-1, 1), batch.noise
        u = draws.uniform((2, len(image)), images=1, dtype=torch.float64)
        t = (self.t_margin + (1 - 2 * self.t_margin) * u_shaped(u[0], u[1] < 0.5, self.t_rate)).to(image)
        state = per_image(1 - t) * image + per_image(t) * noise
        denoised = self.denoised(state, t, batch.labels)
        velocity = (state - denoised) / per_image(t)
        size = image[0].numel()
        flow = pseudo_huber(velocity, noise - image, self.huber * size) / size
        perceptual = self.distance(denoised, self.distance.features(image))
        return {"student": ((1 - t) * flow + perceptual / t).mean()}

    def denoised(self, state: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return the image that the velocity at times t (B,) points to: z_t - t v."""
        return self.student(state / per_image(1 - t), t / (1 - t), labels)

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images by Euler's method in `nfe` equal steps from t = 1 - t_margin to 0.

        The first state is the noise itself, without the small share of data that z_t has there. Times are float32, as
        in the official code: 1 - t is then 1.0014e-5 at the start, and sigma is 99863, not 99999.
        """
        if nfe < 1:
            raise refuse_nfe(self, nfe, "1 or more")
        state, last = noise.to(torch.float64), 1 - self.t_margin
        for i in range(nfe):
            t = torch.full((len(state),), last * (1 - i / nfe), dtype=torch.float32, device=state.device)
            denoised = self.denoised(state, t, labels).to(torch.float64)
            # Euler's z - (t / (nfe - i)) (z - D) / t, written with the share of z - D that remains
            state = denoised + (nfe - 1 - i) / (nfe - i) * (state - denoised)
        return state.to(torch.float32)

    def one_step(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return D itself: the state is already on EDM's scale."""
        return self.student(x, sigma, labels)


def u_shaped(u: Tensor, mirrored: Tensor, rate: float) -> Tensor:
    """Return times in [0, 1] from uniform numbers: of density proportional to e^(rate t), or of its mirror image.

    Half of each gives the U-shape of Section 4.1; exp(rate t) + exp(-rate t) on [0, 1] would not be one.
    """
    # the inverse of the distribution function (e^(rate t) - 1) / (e^rate - 1)
    t = torch.log1p(u * math.expm1(rate)) / rate
    return torch.where(mirrored, 1 - t, t)
