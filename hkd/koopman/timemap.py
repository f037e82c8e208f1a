"""The time s(t) in which a Koopman operator is linear: increasing in the noise level t, with s(eps) = 0.

Advancing by exp(A (s(t') - s(t))) instead of exp(A (t' - t)) keeps the closed form and the semigroup; only the
map `sigma` is literally the paper's dz/dt = A z. The maps differ in which constant rates fit well and in how far
one optimiser step moves the exponent, so a learning rate of A means something only beside its time map.
"""

from __future__ import annotations

import math
from typing import Final, Literal, cast, get_args, overload

import torch
from torch import Tensor

TimeMapName = Literal["sigma", "sigma_unit", "log_sigma", "log_unit", "rho"]
TIME_MAPS: Final[tuple[str, ...]] = get_args(TimeMapName)
TOLERANCE: Final = 1e-5
"""Relative slack at both ends of [eps, T], for noise levels that were rounded to float32 or went through a grid."""


class TimeMap:
    """The map s(t) of one name over noise levels [sigma_min, sigma_max], for numbers and tensors alike.

    | name | s(t) |
    | --- | --- |
    | `sigma` | t - eps |
    | `sigma_unit` | (t - eps) / (T - eps) |
    | `log_sigma` | ln(t / eps) |
    | `log_unit` | ln(t / eps) / ln(T / eps) |
    | `rho` | (t^(1/rho) - eps^(1/rho)) / (T^(1/rho) - eps^(1/rho)) |

    Raises:
        ValueError: for an unknown name, or unless 0 < sigma_min < sigma_max and rho > 0.
    Source: HKD, section 3 (`sigma`); the others are ours, `rho` after Karras et al. (2022), Eq. 5.
    """

    def __init__(self, name: str, *, sigma_min: float, sigma_max: float, rho: float = 7.0) -> None:
        if name not in TIME_MAPS:
            raise ValueError(f"time_map: '{name}' is not one of {', '.join(TIME_MAPS)}.")
        if not 0 < sigma_min < sigma_max < math.inf:
            raise ValueError(f"sigma_min, sigma_max: need 0 < sigma_min < sigma_max, got {sigma_min}, {sigma_max}.")
        if not 0 < rho < math.inf:
            raise ValueError(f"rho: must be positive, got {rho}.")
        self.name = cast(TimeMapName, name)
        self.sigma_min, self.sigma_max, self.rho = float(sigma_min), float(sigma_max), float(rho)
        self._start = self._warp(self.sigma_min)
        width = self._warp(self.sigma_max) - self._start
        self._unit = 1.0 if name in ("sigma", "log_sigma") else width
        self.span = width / self._unit
        """s(T), the longest step of mapped time."""

    @overload
    def __call__(self, sigma: float) -> float: ...
    @overload
    def __call__(self, sigma: Tensor) -> Tensor: ...
    def __call__(self, sigma: float | Tensor) -> float | Tensor:
        """Return s(sigma), without checking that sigma lies in [sigma_min, sigma_max]."""
        return (self._warp(sigma) - self._start) / self._unit

    @overload
    def inverse(self, s: float) -> float: ...
    @overload
    def inverse(self, s: Tensor) -> Tensor: ...
    def inverse(self, s: float | Tensor) -> float | Tensor:
        """Return the noise level sigma at which s(sigma) = s."""
        warped = s * self._unit + self._start
        if self.name.startswith("log"):
            return warped.exp() if isinstance(warped, Tensor) else math.exp(warped)
        return warped**self.rho if self.name == "rho" else warped

    def check(self, sigma: float | Tensor, name: str = "sigma") -> None:
        """Raise unless every noise level lies in [sigma_min, sigma_max]; reads values, so not in hot loops on a GPU.

        Raises:
            ValueError: naming the first level outside, or a level that is not a number.
        """
        low, high = self.sigma_min * (1 - TOLERANCE), self.sigma_max * (1 + TOLERANCE)
        if not isinstance(sigma, Tensor) and low <= sigma <= high:
            return  # making it a tensor would take a tenth of the time in which a small network's latents evolve
        levels = torch.as_tensor(sigma, dtype=torch.float64).flatten()
        outside = levels[~((levels >= low) & (levels <= high))]
        if len(outside):
            raise ValueError(
                f"{name}: noise level {outside[0].item():g} lies outside [{self.sigma_min:g}, {self.sigma_max:g}], "
                f"where the time map '{self.name}' is defined. Clip the times, or widen sigma_min and sigma_max."
            )

    def middle(self) -> float:
        """Return the noise level half way through mapped time, s = s(T) / 2."""
        return float(self.inverse(self.span / 2))

    @overload
    def _warp(self, sigma: float) -> float: ...
    @overload
    def _warp(self, sigma: Tensor) -> Tensor: ...
    def _warp(self, sigma: float | Tensor) -> float | Tensor:
        """Return the part of s(sigma) that is not linear: ln sigma, sigma^(1/rho) or sigma itself."""
        if self.name.startswith("log"):
            return sigma.log() if isinstance(sigma, Tensor) else math.log(sigma)
        return sigma ** (1 / self.rho) if self.name == "rho" else sigma
