"""Score SDE: the score of variance-exploding noise in continuous time, sampled by a predictor and a corrector.

Source: Song et al. (2021), "Score-Based Generative Modeling through Stochastic Differential Equations",
arXiv 2011.13456; the CIFAR-10 run ve/cifar10_ncsnpp_continuous.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from hkd.data.image_set import ImageBatch
from hkd.diffusion.schedules import exploding_sigmas, per_image
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.seeding import ImageStreams


class ScoreSDE(Method):
    """A score s(x, sigma) = F(2x - 1, ln sigma) / sigma, for images in [0, 1].

    Noise levels are sigma(t) = sigma_min (sigma_max / sigma_min)^t.
    `snr`: the corrector's signal-to-noise ratio r. `corrector_norms`: each image's own norms, so that it does not
    depend on its batch, or their means over the batch as in the official code; the batch is then `sampling.batch`.
    `t_min`: the smallest time, in training and in sampling.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        sigma_min: float,
        sigma_max: float,
        t_min: float,
        snr: float,
        corrector_norms: Literal["image", "batch"],
    ) -> None:
        super().__init__()
        self.student = student
        self.sigma_min, self.sigma_max, self.t_min = sigma_min, sigma_max, t_min
        self.snr, self.corrector_norms = snr, corrector_norms

    def losses(self, batch: ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return |sigma s(x + sigma n, sigma) + n|² / 2, summed over pixels (Eq. 7 with lambda = sigma²)."""
        clean = (batch.clean + 1) / 2
        t = self.t_min + (1 - self.t_min) * draws.uniform((len(clean),))
        sigma = self.sigma(t).to(clean)
        noise = draws.normal(clean.shape).to(clean)
        score = self.score(clean + per_image(sigma) * noise, sigma, batch.labels)
        error = (per_image(sigma) * score + noise).square().sum(dim=(1, 2, 3))
        return {"student": 0.5 * error.mean()}

    def sigma(self, t: Tensor) -> Tensor:
        """Return the noise level at times t in [0, 1]."""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def score(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return the gradient of the log density of x, at noise levels (B,)."""
        raw = self.student(2 * x.to(torch.float32) - 1, sigma.to(torch.float32).log(), labels)
        return raw / per_image(sigma).to(raw)

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images by nfe / 2 rounds of a corrector step and then a predictor step; the last adds no noise."""
        if nfe % 2 or nfe < 4:
            raise refuse_nfe(self, nfe, "an even number (4, 6, 8, ...) of")
        count, shape = nfe // 2, noise.shape[1:]
        times = torch.linspace(1, self.t_min, count, dtype=torch.float64)
        ladder = exploding_sigmas(count, sigma_min=self.sigma_min, sigma_max=self.sigma_max).flip(0)
        below = torch.cat((ladder[1:], ladder.new_zeros(1)))
        x = mean = self.sigma_max * noise.to(torch.float64)
        for sigma, gap in zip(self.sigma(times), ladder**2 - below**2, strict=True):
            level = x.new_full((len(x),), float(sigma))  # all levels lie on the host: no step copies one
            x = self.corrected(x, self.score(x, level, labels).to(x), streams.randn(shape).to(x))
            mean = x + gap * self.score(x, level, labels)
            x = mean + gap.sqrt() * streams.randn(shape).to(x)
        return (2 * mean - 1).to(torch.float32)

    def one_step(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return x + sigma² times the score (Tweedie's formula)."""
        # the network works on images in [0, 1], where noise has half the size that it has on [-1, 1]
        half = torch.full((len(x),), sigma / 2, dtype=x.dtype, device=x.device)
        unit = (x + 1) / 2
        return 2 * (unit + per_image(half**2) * self.score(unit, half, labels)) - 1

    def corrected(self, x: Tensor, score: Tensor, noise: Tensor) -> Tensor:
        """Return x after a Langevin step of size 2 (r |z| / |g|)² (Algorithm 4)."""
        norms = torch.stack([v.flatten(1).norm(dim=1) for v in (noise, score)])
        if self.corrector_norms == "batch":
            norms = norms.mean(dim=1, keepdim=True)
        size = per_image(2 * (self.snr * norms[0] / norms[1]) ** 2)
        return x + size * score + (2 * size).sqrt() * noise
