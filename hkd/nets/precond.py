"""Preconditioning: D(x; sigma) = c_skip x + c_out F(c_in x; c_noise), for EDM, VP, VE and consistency models."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Coefficients(NamedTuple):
    """c_skip, c_out and c_in of shape (B, 1, 1, 1), and c_noise of shape (B,); B is 1 for a single noise level."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


class Precond(nn.Module, ABC):
    """A network F turned into a function D of an image and its noise level; subclasses give the coefficients.

    Attributes:
        model: the network F, whose parameters are the only ones.
        sigma_min, sigma_max: the noise levels within which D may be evaluated.
    """

    sigma_min: float = 0.0
    sigma_max: float = math.inf

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.img_resolution: int = model.img_resolution  # type: ignore[assignment]
        self.img_channels: int = model.img_channels  # type: ignore[assignment]
        self.label_dim: int = model.label_dim  # type: ignore[assignment]

    @property
    def counted(self) -> nn.Module:
        """The network F, whose calls are network evaluations."""
        return self.model

    @abstractmethod
    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Return the four coefficients at float32 noise levels of shape (B, 1, 1, 1)."""

    def forward(
        self,
        x: Tensor,
        sigma: Tensor | float,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Return D, float32 of shape (B, C, H, W).

        Args:
            x: (B, C, H, W) noisy images, of any floating type.
            sigma: a number, or one noise level per image, (B,).
            class_labels: (B, label_dim) one-hot rows; ignored by an unconditional network.
            augment_labels: (B, augment_dim), if the network takes them.
        """
        x = x.to(torch.float32)
        c_skip, c_out, c_in, c_noise = self.coefficients(noise_levels(sigma, x.device))
        labels = None
        if self.label_dim and class_labels is not None:
            labels = class_labels.to(torch.float32).reshape(-1, self.label_dim)
        conditions = (labels,) if augment_labels is None else (labels, augment_labels)
        raw = self.model(c_in * x, c_noise, *conditions)
        return torch.addcmul(c_skip * x, c_out, raw.to(torch.float32))


def noise_levels(sigma: Tensor | float, device: torch.device | str = "cpu") -> Tensor:
    """Return noise levels as float32 of shape (B, 1, 1, 1), or (1, 1, 1, 1) for a single number."""
    if isinstance(sigma, Tensor) and (sigma.dim() or sigma.device == torch.device(device)):
        return sigma.to(device, torch.float32).reshape(-1, 1, 1, 1)
    # a number that the host knows is written by the device itself: a copy of it would make the host wait
    return torch.full((1, 1, 1, 1), float(sigma), dtype=torch.float32, device=device)


class EDMPrecond(Precond):
    """The denoiser of EDM: unit variance at the network's input and at its training target.

    Source: Karras et al. (2022), Table 1, last column, and Eq. 7.
    """

    def __init__(self, model: nn.Module, sigma_data: float = 0.5, noise_scale: float = 1.0) -> None:
        super().__init__(model)
        self.sigma_data, self.noise_scale = sigma_data, noise_scale

    def coefficients(self, sigma: Tensor) -> Coefficients:
        total = sigma**2 + self.sigma_data**2  # variance of the noisy image
        return Coefficients(
            c_skip=self.sigma_data**2 / total,
            c_out=sigma * self.sigma_data / total.sqrt(),
            c_in=1 / total.sqrt(),
            c_noise=self.noise_scale * sigma.log().flatten() / 4,
        )


class ConsistencyPrecond(Precond):
    """The consistency function f, which returns its input unchanged at sigma = sigma_min.

    Source: Song et al. (2023), Appendix C. ECM evaluates with sigma_min 0.003, but trains with `EDMPrecond`.
    """

    def __init__(
        self, model: nn.Module, sigma_data: float = 0.5, sigma_min: float = 0.002, noise_scale: float = 1.0
    ) -> None:
        super().__init__(model)
        self.sigma_data, self.sigma_min, self.noise_scale = sigma_data, sigma_min, noise_scale

    def coefficients(self, sigma: Tensor) -> Coefficients:
        above = sigma - self.sigma_min  # 0 at sigma_min, where c_skip is then 1 and c_out is 0
        norm = (sigma**2 + self.sigma_data**2).sqrt()
        return Coefficients(
            c_skip=self.sigma_data**2 / (above**2 + self.sigma_data**2),
            c_out=above * self.sigma_data / norm,
            c_in=1 / norm,
            c_noise=self.noise_scale * sigma.log().flatten() / 4,
        )


class VPPrecond(Precond):
    """A noise-predicting network trained on the variance-preserving process, over beta_min + beta_d t.

    Source: Song et al. (2021), in the form of Karras et al. (2022), Table 1, first column.
    """

    def __init__(
        self, model: nn.Module, beta_d: float = 19.9, beta_min: float = 0.1, steps: int = 1000, t_min: float = 1e-5
    ) -> None:
        super().__init__(model)
        self.beta_d, self.beta_min, self.steps = beta_d, beta_min, steps
        # the discrete steps are read as a continuous time from t_min to 1
        self.sigma_min, self.sigma_max = self.sigma(t_min), self.sigma(1.0)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        return Coefficients(
            c_skip=torch.ones_like(sigma),
            c_out=-sigma,
            c_in=1 / (sigma**2 + 1).sqrt(),
            c_noise=(self.steps - 1) * self.time(sigma).flatten(),
        )

    def sigma(self, t: float) -> float:
        """Return the noise level at time t in [0, 1]."""
        return math.sqrt(math.expm1(0.5 * self.beta_d * t**2 + self.beta_min * t))

    def time(self, sigma: Tensor) -> Tensor:
        """Return the time in [0, 1] at which the noise level is sigma: the inverse of `sigma`."""
        root = (self.beta_min**2 + 2 * self.beta_d * (1 + sigma**2).log()).sqrt()
        return (root - self.beta_min) / self.beta_d


class VEPrecond(Precond):
    """A score network of the variance-exploding process.

    Source: Song et al. (2021), in the form of Karras et al. (2022), Table 1, second column.
    """

    def __init__(self, model: nn.Module, sigma_min: float = 0.02, sigma_max: float = 100.0) -> None:
        super().__init__(model)
        self.sigma_min, self.sigma_max = sigma_min, sigma_max

    def coefficients(self, sigma: Tensor) -> Coefficients:
        one = torch.ones_like(sigma)
        return Coefficients(c_skip=one, c_out=sigma, c_in=one, c_noise=(sigma / 2).log().flatten())
