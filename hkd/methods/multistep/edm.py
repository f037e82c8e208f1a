"""EDM: a preconditioned denoiser trained at log-normal noise levels, sampled by Heun's method.

Source: Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative Models", arXiv 2206.00364.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hkd.data.image_set import ImageBatch
from hkd.diffusion.augmentation import LABEL_DIM, augmented
from hkd.diffusion.samplers import heun_states, last
from hkd.diffusion.schedules import edm_sigmas, per_image
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.seeding import ImageStreams


class EDM(Method):
    """A denoiser D(x; sigma); the teacher of everything that starts from an EDM.

    Args:
        augment: probability of the operations of the augmentation pipe, in [0, 1]; 0 switches all of it off, its mirror
            too. The feed should not mirror images as well: the network would not be told.

    Raises:
        ValueError: no probability, or a network that cannot be told how an image was augmented.
    """

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
        augment: float,
    ) -> None:
        super().__init__()
        self.student = student
        self.p_mean, self.p_std, self.sigma_data = p_mean, p_std, sigma_data
        self.sigma_min, self.sigma_max, self.rho = sigma_min, sigma_max, rho
        self.augment = _checked(augment, student)

    def losses(self, batch: ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the weighted denoising error, summed over pixels, averaged over the batch (Eq. 2 and Table 1).

        With augmentation the clean image is the augmented one, and the network is told its transform (Appendix F.2).
        """
        clean = batch.clean
        conditions: tuple[Tensor | None, ...] = (batch.labels,)
        sigma = log_normal(len(clean), self.p_mean, self.p_std, draws).to(clean)
        noise = draws.normal(clean.shape).to(clean)
        if self.augment:  # drawn last, so that levels and noise are those of a training without augmentation
            clean, told = augmented(clean, self.augment, draws)
            conditions = (batch.labels, told)
        weight = (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2
        denoised = self.student(clean + per_image(sigma) * noise, sigma, *conditions)
        error = (denoised - clean).square().sum(dim=(1, 2, 3))
        return {"student": (weight * error).mean()}

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images by Heun's method in (nfe + 1) / 2 steps (Algorithm 1 without churn), without augmentation."""
        if nfe % 2 == 0 or nfe < 3:
            raise refuse_nfe(self, nfe, "2n - 1 (3, 5, 7, ...)")
        sigmas = edm_sigmas((nfe + 1) // 2, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)

        def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
            return self.student(x, sigma, labels)

        return last(heun_states(denoiser, sigmas[0] * noise.to(torch.float64), sigmas))


def log_normal(n: int, mean: float, std: float, draws: Draws) -> Tensor:
    """Return n noise levels with ln sigma ~ N(mean, std^2), on the CPU."""
    return (mean + std * draws.normal((n,))).exp()


def _checked(augment: float, student: nn.Module) -> float:
    """Return the probability of augmentation, if it is one and the network takes the labels."""
    if not 0 <= augment <= 1:
        raise ValueError(f"params.augment: expected a probability in [0, 1], found {augment}")
    told = getattr(getattr(student, "model", student), "augment_dim", 0)
    if augment and told != LABEL_DIM:
        raise ValueError(
            f"params.augment is {augment}, which takes a network with network.augment_dim {LABEL_DIM}, not {told}; "
            "set it, or params.augment to 0"
        )
    return augment
