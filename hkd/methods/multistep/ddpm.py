"""DDPM: discrete variance-preserving diffusion whose network predicts the noise, sampled by its own Markov chain.

Source: Ho et al. (2020), "Denoising Diffusion Probabilistic Models", arXiv 2006.11239.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hkd.data.image_set import ImageBatch
from hkd.diffusion.schedules import linear_betas, per_image
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.seeding import ImageStreams


class DDPM(Method):
    """A network eps(x_t, t) that predicts the noise n in x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) n.

    Steps are t = 0 .. T - 1, over which abar_t falls from 1 to 4e-5.

    Attributes:
        betas, alpha_bars: float64 (T,).
    """

    def __init__(self, *, student: nn.Module, diffusion_steps: int, beta_first: float, beta_last: float) -> None:
        super().__init__()
        self.student = student
        self.betas = linear_betas(diffusion_steps, first=beta_first, last=beta_last)
        self.alpha_bars = (1 - self.betas).cumprod(0)

    def losses(self, batch: ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the mean squared error of the noise, all steps equally likely and of weight 1 (Eq. 14)."""
        clean = batch.clean
        t = draws.integers(len(self.betas), len(clean))
        noise = draws.normal(clean.shape).to(clean)
        abar = per_image(self.alpha_bars.to(t.device)[t]).to(clean)
        error = self.noise(abar.sqrt() * clean + (1 - abar).sqrt() * noise, t, batch.labels) - noise
        return {"student": error.square().mean()}

    def noise(self, x: Tensor, t: int | Tensor, labels: Tensor | None) -> Tensor:
        """Return eps(x_t, t) for steps t, one for all or (B,)."""
        # the network knows times of a process of 1000 steps, however many there are
        scale = 1000 / len(self.betas)
        if isinstance(t, int):  # written by the device itself: a copy would make the host wait
            time = x.new_full((1,), t * scale, dtype=torch.float32)
        else:
            time = (t * scale).to(x.device, torch.float32)
        return self.student(x.to(torch.float32), time, labels)

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images by ancestral sampling (Algorithm 2): x_0 is clipped, the variance of each step is beta_t.

        Every step is made once, and the last adds no noise.
        """
        if nfe != len(self.betas):
            raise refuse_nfe(self, nfe, str(len(self.betas)))
        x = noise.to(torch.float64)
        for t in reversed(range(nfe)):
            mean = self.posterior_mean(x, self.clean(x, t, self.noise(x, t, labels)).clamp(-1, 1), t)
            fresh = self.betas[t].sqrt() * streams.randn(x.shape[1:]).to(x) if t else 0.0
            x = mean + fresh
        return x.to(torch.float32)

    def clean(self, x: Tensor, t: int, noise: Tensor) -> Tensor:
        """Return the prediction of x_0 from x_t and the predicted noise (Eq. 15)."""
        abar = self.alpha_bars[t].to(x.dtype)  # on the host, where numbers of a device's arithmetic may lie
        return (x - (1 - abar).sqrt() * noise) / abar.sqrt()

    def posterior_mean(self, x: Tensor, clean: Tensor, t: int) -> Tensor:
        """Return the mean of q(x_{t-1} | x_t, x_0) (Eq. 7)."""
        beta, abar = float(self.betas[t]), float(self.alpha_bars[t])
        before = float(self.alpha_bars[t - 1]) if t else 1.0
        return (beta * before**0.5 * clean + (1 - before) * (1 - beta) ** 0.5 * x) / (1 - abar)

    def one_step(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return the prediction of x_0 from x / sqrt(1 + sigma²), at the step whose noise level is nearest."""
        # noise over data, which is the noise level of a state once its data has weight 1
        levels = ((1 - self.alpha_bars) / self.alpha_bars).sqrt()
        t = int((levels - sigma).abs().argmin())
        scaled = x / (1 + sigma**2) ** 0.5
        return self.clean(scaled, t, self.noise(scaled, t, labels))
