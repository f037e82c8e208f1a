"""Noise levels: EDM's, DDPM's and those of the variance-exploding SDE."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def edm_sigmas(n: int, *, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """Return n descending noise levels followed by 0, as float64 of shape (n + 1,).

    Raises:
        ValueError: unless n >= 2 and 0 < sigma_min < sigma_max.
    Source: Karras et al. (2022), Eq. 5.
    """
    if n < 2 or not 0 < sigma_min < sigma_max:
        raise ValueError(f"need n >= 2 and 0 < sigma_min < sigma_max, not n={n}, {sigma_min}, {sigma_max}")
    fraction = torch.arange(n, dtype=torch.float64) / (n - 1)
    # evenly spaced in sigma^(1/rho): the larger rho, the more levels lie near sigma_min
    roots = sigma_max ** (1 / rho) + fraction * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))
    return torch.cat((roots**rho, torch.zeros(1, dtype=torch.float64)))


def linear_betas(steps: int, *, first: float, last: float) -> Tensor:
    """Return the variances beta_t that DDPM adds in its steps, float64 (steps,), scaled by 1000 / steps.

    Source: Ho et al. (2020), Section 4, where steps is 1000; the scale keeps the whole process for fewer steps.
    """
    return (torch.linspace(first, last, steps, dtype=torch.float64) * (1000 / steps)).clamp(max=0.999)


def exploding_sigmas(n: int, *, sigma_min: float, sigma_max: float) -> Tensor:
    """Return n noise levels ascending geometrically from sigma_min to sigma_max, float64 (n,).

    Source: Song et al. (2021), Section 3.1 and Appendix C.
    """
    return torch.logspace(math.log(sigma_min), math.log(sigma_max), n, base=math.e, dtype=torch.float64)


def per_image(values: Tensor) -> Tensor:
    """Return one number per image, (B,), in the shape that multiplies images, (B, 1, 1, 1)."""
    return values[:, None, None, None]
