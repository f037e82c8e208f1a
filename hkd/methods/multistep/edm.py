"""EDM: a preconditioned denoiser trained at log-normal noise levels, sampled by Heun's method.

Source: Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative Models", arXiv 2206.00364.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hkd.data.images import ImageBatch
from hkd.diffusion.samplers import heun_states, last
from hkd.diffusion.schedules import edm_sigmas
from hkd.methods.base import Method, refuse_nfe
from hkd.seeding import ImageStreams


class EDM(Method):
    """A denoiser D(x; sigma); the teacher of everything that starts from an EDM."""

    def __init__(
        self,
        *,
        student: nn.Module,
        p_mean: float,
        p_std: float,
        sigma_data: float,
        sigma_min: float,
        sigma_max: float,
        rho: float,
    ) -> None:
        super().__init__()
        self.student = student
        self.p_mean, self.p_std, self.sigma_data = p_mean, p_std, sigma_data
        self.sigma_min, self.sigma_max, self.rho = sigma_min, sigma_max, rho

    def losses(self, batch: ImageBatch, *, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Weighted denoising error, summed over pixels, averaged over the batch (Eq. 2 and Table 1)."""
        clean = batch.clean
        sigma = log_normal(len(clean), self.p_mean, self.p_std, generator).to(clean)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        weight = (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2
        denoised = self.student(clean + _column(sigma) * noise, sigma, batch.labels)
        error = (denoised - clean).square().sum(dim=(1, 2, 3))
        return {"student": (weight * error).mean()}

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Heun's method with (nfe + 1) / 2 steps (Algorithm 1 without churn)."""
        if nfe % 2 == 0 or nfe < 3:
            raise refuse_nfe(self, nfe, "2n - 1 (3, 5, 7, ...)")
        sigmas = edm_sigmas((nfe + 1) // 2, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)

        def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
            return self.student(x, sigma, labels)

        return last(heun_states(denoiser, sigmas[0] * noise.to(torch.float64), sigmas))


def log_normal(n: int, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """Return n noise levels with ln sigma ~ N(mean, std^2), on the CPU."""
    return (mean + std * torch.randn(n, generator=generator)).exp()


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]
