"""Noise levels."""

from __future__ import annotations

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
    roots = sigma_max ** (1 / rho) + fraction * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))
    return torch.cat((roots**rho, torch.zeros(1, dtype=torch.float64)))


def per_image(values: Tensor) -> Tensor:
    """Return one number per image, (B,), in the shape that multiplies images, (B, 1, 1, 1)."""
    return values[:, None, None, None]
