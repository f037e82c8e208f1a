"""The law of HKD's intermediate times: which states of a trajectory the loss looks at, besides x_T.

Source: HKD, Definition 3.1 and Algorithm 1. They contradict each other in the interval, and leave open in which
variable the times are uniform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hkd.data.trajectories import TrajectoryBatch
from hkd.draws import Draws
from hkd.koopman.choices import check_choices

P_MEAN, P_STD = -1.2, 1.2
"""Mean and standard deviation of ln sigma under `lognormal`: EDM's law in training. Source: EDM, Table 1."""


@dataclass(frozen=True, kw_only=True)
class TimeLaw:
    """How the intermediate times are drawn, and where the states at those times come from.

    Attributes:
        sigma_min, sigma_max: eps and T.
        rho: exponent of EDM's grid of noise levels, in whose index `uniform_index` is uniform.
        time_dist: the law. On the stored grid it is a weight per grid point.
        time_states: states are the stored ones (`grid`) or interpolated between them (`interp`).
        time_draw: every trajectory of a batch has times of its own (`per_sample`), or all share them (`per_batch`).
        time_support: times from [eps, T) (Definition 3.1) or from [0, T] (Algorithm 1; below eps the state at eps is
            used).
        n_intermediate: times per trajectory besides T (appendix D.4: four).
    Raises:
        ValueError: naming the key, its value and the known values.
    """

    sigma_min: float
    sigma_max: float
    rho: float
    time_dist: Literal["uniform_t", "uniform_index", "uniform_log", "lognormal"]
    time_states: Literal["grid", "interp"]
    time_draw: Literal["per_sample", "per_batch"]
    time_support: Literal["eps_to_T", "zero_to_T"]
    n_intermediate: int

    def __post_init__(self) -> None:
        check_choices(self)

    def state(self, batch: TrajectoryBatch, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return one intermediate state per trajectory, at its own time or a shared one, and the noise levels (B,)."""
        # on the host, where stored states are picked
        draws, count = (draws, len(batch)) if self.time_draw == "per_sample" else (draws.whole, 1)
        draws = draws.host
        u = draws.uniform((count,), dtype=torch.float64)
        if self.time_states == "interp":
            sigma = self.levels(u, draws).expand(len(batch))
            return batch.at(sigma), sigma.to(torch.float32)
        grid = batch.sigmas[:-1]
        k = self.points(u, grid).expand(len(batch))
        return batch.state(k), grid[k].to(torch.float32)

    def levels(self, u: Tensor, draws: Draws) -> Tensor:
        """Return noise levels in [eps, T] of the law `time_dist` from uniform numbers u, float64 (B,)."""
        low = self.sigma_min if self.time_support == "eps_to_T" else 0.0
        high, eps = self.sigma_max, self.sigma_min
        if self.time_dist == "uniform_t":
            sigma = low + u * (high - low)
        elif self.time_dist == "uniform_index":
            root = 1 / self.rho
            sigma = (low**root + u * (high**root - low**root)) ** self.rho
        elif self.time_dist == "uniform_log":
            sigma = eps * (high / eps) ** u
        else:
            sigma = (P_MEAN + P_STD * draws.normal((len(u),), dtype=torch.float64)).exp()
        return sigma.clamp(eps, high)

    def points(self, u: Tensor, grid: Tensor) -> Tensor:
        """Return numbers of grid points after the first, of the law `time_dist`, from uniform numbers u, (B,)."""
        weights = grid_weights(grid, self.time_dist)
        return 1 + torch.searchsorted(weights.cumsum(0), u * weights.sum()).clamp(max=len(weights) - 1)


def grid_weights(grid: Tensor, law: str) -> Tensor:
    """Return the weight of each grid point after the first, so that a draw of points follows a law of sigma.

    Each point stands for the half-way stretch to its neighbours, in the variable in which the law is uniform.
    """
    if law == "uniform_index":
        return torch.ones(len(grid) - 1, dtype=torch.float64)
    axis = grid if law == "uniform_t" else grid.log()
    below = torch.cat((axis[2:], axis[-1:]))
    width = (axis[:-1] - below) / 2
    if law == "lognormal":
        width = width * torch.exp(-0.5 * ((grid[1:].log() - P_MEAN) / P_STD) ** 2)
    return width
