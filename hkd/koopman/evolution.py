"""Closed-form evolution of dz/dt = A z, with A block-diagonal and eigenvalues alpha ± i·beta.

This is the formula in its plain form, for reading. `fast_evolution` computes the same faster and is what runs.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import torch
from torch import Tensor

Pairing = Literal["half", "adjacent"]
PAIRINGS: Final[tuple[str, ...]] = get_args(Pairing)


def evolve(z: Tensor, alpha: Tensor, beta: Tensor, dt: Tensor, pairing: Pairing = "half") -> Tensor:
    """Return exp(A·dt) z, the latent a time dt later.

    In every block this is a growth by e^(alpha·dt) and a rotation by the angle beta·dt.

    Args:
        z: (B, 2K, H, W) latent; channels k and k + K (`half`) or 2k and 2k + 1 (`adjacent`) are block k.
        alpha, beta: (K, H, W) growth rate and angular frequency (rad) per unit of mapped time, float32.
        dt: () or (B,) signed step of mapped time; negative runs towards the data.
    Source: HKD, Eq. of exp((eps - t) A) in section 3 with blocks [[alpha, -beta], [beta, alpha]], the transpose
        of the printed ones (beta has the other sign); appendix D.4.
    """
    dt = dt.reshape(-1, 1, 1, 1)
    growth, angle = torch.exp(alpha * dt), beta * dt
    cos, sin = growth * torch.cos(angle), growth * torch.sin(angle)
    u, v = split_pairs(z, pairing)
    return join_pairs(cos * u - sin * v, sin * u + cos * v, pairing).to(z.dtype)


def split_pairs(z: Tensor, pairing: Pairing) -> tuple[Tensor, Tensor]:
    """Return the first and the second coordinate of every block, views (B, K, H, W) of z (B, 2K, H, W)."""
    if pairing == "half":
        u, v = z.chunk(2, dim=1)
        return u, v
    return z[:, 0::2], z[:, 1::2]


def join_pairs(u: Tensor, v: Tensor, pairing: Pairing) -> Tensor:
    """Return the latent (B, 2K, H, W) whose blocks have coordinates u and v: the inverse of `split_pairs`."""
    return torch.cat((u, v), dim=1) if pairing == "half" else torch.stack((u, v), dim=2).flatten(1, 2)


def check_pairing(pairing: str) -> None:
    """Raise ValueError unless `pairing` is known."""
    if pairing not in PAIRINGS:
        raise ValueError(f"pairing: '{pairing}' is not one of {', '.join(PAIRINGS)}.")
