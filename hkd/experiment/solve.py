"""The states that a set of trajectories keeps: a base's probability-flow ODE, or pairs of its own sampler."""

from __future__ import annotations

import torch
from torch import Tensor

from hkd.diffusion.ode import solve
from hkd.diffusion.schedules import edm_sigmas
from hkd.methods.base import Method
from hkd.seeding import ImageStreams
from hkd.settings.sections import TrajectorySet


def ode_levels(spec: TrajectorySet) -> Tensor:
    """Return the noise levels at which a set's solver stops, float64 and descending to 0."""
    assert spec.steps and spec.sigma_min and spec.sigma_max and spec.rho  # checked with the settings
    return edm_sigmas(spec.steps, sigma_min=spec.sigma_min, sigma_max=spec.sigma_max, rho=spec.rho)


def state_levels(spec: TrajectorySet) -> Tensor:
    """Return the noise levels of the states that a set keeps, float64; of a base's own pairs, unit noise and 0."""
    if spec.solver in ("sampler", "adaptive"):
        return torch.tensor([1.0, 0.0], dtype=torch.float64)
    return ode_levels(spec) if spec.keep == "all" else ode_levels(spec)[[0, -1]]


@torch.no_grad()
def solve_states(
    built: Method, spec: TrajectorySet, noise: Tensor, labels: Tensor | None, streams: ImageStreams
) -> Tensor:
    """Return the states (B, S, C, H, W) that a set keeps, from unit noise (B, C, H, W)."""
    if spec.solver == "adaptive":
        return torch.stack((noise, built.solve(noise, labels=labels)), dim=1)
    if spec.solver == "sampler":
        assert spec.steps
        return torch.stack((noise, built.sample(noise, labels=labels, nfe=spec.steps, streams=streams)), dim=1)
    network = getattr(built, built.samples_with[0])
    states = solve(lambda x, sigma: network(x, sigma, labels), noise, ode_levels(spec), spec.solver)
    return states if spec.keep == "all" else states[:, [0, -1]]
