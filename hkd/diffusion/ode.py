"""Solve the probability-flow ODE of a teacher and keep every state."""

from __future__ import annotations

import torch
from torch import Tensor

from hkd.diffusion.samplers import Denoiser, euler_states, heun_states

SOLVERS = {"heun": heun_states, "euler": euler_states}


@torch.no_grad()
def solve(denoiser: Denoiser, noise: Tensor, sigmas: Tensor, solver: str) -> Tensor:
    """Return all states of the trajectories that start at sigmas[0] · noise, float64 (B, len(sigmas), C, H, W)."""
    start = sigmas[0] * noise.to(torch.float64)
    return torch.stack(list(SOLVERS[solver](denoiser, start, sigmas)), dim=1)
