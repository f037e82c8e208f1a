"""An ODE solver that controls its error, with steps of its own for every image.

It is Dormand and Prince's pair of orders 5 and 4, as in scipy's RK45. There the error norm runs over everything in a
call, here over one image, so that an image does not depend on those beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hkd.diffusion.schedules import per_image


class SolveError(RuntimeError):
    """The solver cannot go on; the message says where it stopped."""


Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]

# Butcher tableau: nodes, weights of the stages, and weights of the error estimate
C = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
A = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),  # also the weights of order 5
)
E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)  # order 5 less order 4
SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0  # factors of the step size: aim below the limit, least, largest; scipy's


@torch.no_grad()
def rk45(velocity: Velocity, x: Tensor, start: float, end: float, *, rtol: float, atol: float) -> Tensor:
    """Return the states at time `end` > `start`, float64 (B, C, H, W), of dx/dt = velocity from x at `start`.

    Args:
        velocity: (x, t, rows) -> dx/dt, for the images number `rows` of the batch at their own times t, (n,) float64.
        rtol, atol: a step is taken when the root mean square of its error over atol + rtol max(|x|, |x'|) is below 1.

    Raises:
        SolveError: the velocity at the start is not finite, or no step is small enough.

    Source: Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, Sections II.4 and II.5.
    """
    final = x.to(torch.float64).clone()
    rows = torch.arange(len(x), device=x.device)
    x, t = final.clone(), torch.full((len(x),), start, dtype=torch.float64, device=x.device)
    slope = velocity(x, t, rows).to(torch.float64)
    if not bool(torch.isfinite(slope).all()):
        raise SolveError(f"the velocity is not finite at time {start:g}: a training has probably diverged")
    size = _first_size(velocity, x, t, rows, slope, rtol, atol)
    # the first guess may be not finite where the velocity overflows nearby: then a thousandth of the way
    size = torch.where(torch.isfinite(size), size, 1e-3 * (end - start))
    smallest = 10 * torch.finfo(t.dtype).eps * (end - start)
    while len(rows):
        step = torch.minimum(size, end - t)
        if bool((step <= smallest).any()):
            at = float(t[step <= smallest][0])
            raise SolveError(
                f"no step is small enough at time {at:g}: the velocity is too steep, or not finite beyond it"
            )
        ahead, slopes = _stages(velocity, x, t, rows, slope, step)
        error = per_image(step) * sum(e * k for e, k in zip(E, slopes, strict=True))
        # a step into a region that is not finite has an infinite error, so it is refused and tried again shorter
        norm = _rms(error / (atol + rtol * torch.maximum(x.abs(), ahead.abs()))).nan_to_num(nan=torch.inf)
        taken = norm < 1
        # the error of a step of size h is of order h^5, so h changes with the fifth root of the norm;
        # a refused step never grows
        factor = (SAFETY * norm.clamp(min=1e-10) ** -0.2).clamp(SHRINK, GROW)
        size = step * torch.where(taken, factor, factor.clamp(max=1.0))
        t = torch.where(taken, t + step, t)
        x = torch.where(per_image(taken), ahead, x)
        # the last stage lies at the new state, so it is the first stage of the next step
        slope = torch.where(per_image(taken), slopes[-1], slope)
        final[rows] = x
        # images that have arrived leave the batch: they cost no further evaluations
        going = t < end - 1e-12 * (end - start)
        rows, x, t, slope, size = rows[going], x[going], t[going], slope[going], size[going]
    return final


def _stages(
    velocity: Velocity, x: Tensor, t: Tensor, rows: Tensor, slope: Tensor, step: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Return the state of order 5 after a step, and all seven slopes, the last one at that state."""
    slopes, ahead = [slope], x
    for c, weights in zip(C[1:], A[1:], strict=True):
        ahead = x + per_image(step) * sum(a * k for a, k in zip(weights, slopes, strict=True))
        slopes.append(velocity(ahead, t + c * step, rows).to(torch.float64))
    return ahead, slopes


def _first_size(
    velocity: Velocity, x: Tensor, t: Tensor, rows: Tensor, slope: Tensor, rtol: float, atol: float
) -> Tensor:
    """Return a first step for every image, (B,), from its slope and curvature.

    Source: Hairer, Norsett and Wanner, Section II.4, "Starting step size".
    """
    scale = atol + rtol * x.abs()
    small = 0.01 * _rms(x / scale) / _rms(slope / scale).clamp(min=1e-10)
    ahead = velocity(x + per_image(small) * slope, t + small, rows).to(torch.float64)
    curvature = _rms((ahead - slope) / scale) / small.clamp(min=1e-10)
    steepest = torch.maximum(_rms(slope / scale), curvature).clamp(min=1e-10)
    return torch.minimum(100 * small, (0.01 / steepest) ** 0.2)


def _rms(x: Tensor) -> Tensor:
    return x.square().mean(dim=(1, 2, 3)).sqrt()
