"""Solvers of the probability-flow ODE dx/dsigma = (x - D(x; sigma)) / sigma, as iterators over its states."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor], Tensor]


def euler_states(denoiser: Denoiser, x: Tensor, sigmas: Tensor) -> Iterator[Tensor]:
    """Yield the state at each of `sigmas` (descending, last 0), float64; one evaluation per step."""
    x = x.to(torch.float64)
    yield x
    for sigma, following in itertools.pairwise(sigmas):
        x = x + (following - sigma) * slope(denoiser, x, sigma)
        yield x


def heun_states(denoiser: Denoiser, x: Tensor, sigmas: Tensor) -> Iterator[Tensor]:
    """Yield the state at each of `sigmas` (descending, last 0), float64, by Heun's second-order steps.

    The last step, to sigma 0 where the slope is undefined, is Euler's: n steps cost 2n - 1 evaluations.

    Args:
        denoiser: D(x, sigma), called with float32 images and a float32 number.
        x: (B, C, H, W) state at sigmas[0].
        sigmas: (n + 1,) float64.
    Source: Karras et al. (2022), Algorithm 1, with the stochastic churn off.
    """
    x = x.to(torch.float64)
    yield x
    for sigma, following in itertools.pairwise(sigmas):
        step, here = following - sigma, slope(denoiser, x, sigma)
        ahead = x + step * here
        if following > 0:  # at 0 the slope (x - D) / sigma is undefined: the Euler step stands
            ahead = x + step * 0.5 * (here + slope(denoiser, ahead, following))
        x = ahead
        yield x


def slope(denoiser: Denoiser, x: Tensor, sigma: Tensor) -> Tensor:
    """Return dx/dsigma at a float64 state.

    The network is evaluated in float32; the state stays float64, so that many small steps do not add up rounding.

    Source: Karras et al. (2022), Eq. 3 with s(t) = 1, sigma(t) = t.
    """
    denoised = denoiser(x.to(torch.float32), sigma.to(torch.float32))
    return (x - denoised.to(torch.float64)) / sigma


def last(states: Iterator[Tensor]) -> Tensor:
    """Return the final state, as float32."""
    final = None
    for state in states:
        final = state
    assert final is not None
    return final.to(torch.float32)
