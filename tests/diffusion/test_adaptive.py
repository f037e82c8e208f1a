"""The error-controlled solver: exact solutions, its tolerance and order, and images independent of their batch."""

from __future__ import annotations

import pytest
import torch
from scipy.integrate import solve_ivp
from torch.testing import assert_close

from hkd.diffusion.adaptive import SolveError, rk45
from hkd.seeding import stream


def swinging(x, t, rows):
    """dx/dt = cos(5 t) x: its solution is x exp(sin(5 t) / 5)."""
    return torch.cos(5 * t)[:, None, None, None] * x


def start(count=3):
    return torch.randn((count, 2, 3, 3), generator=stream(0, "x"), dtype=torch.float64)


def test_it_solves_to_its_tolerance():
    exact = start() * torch.exp(torch.sin(torch.tensor(5.0).double()) / 5)
    errors = [
        float((rk45(swinging, start(), 0.0, 1.0, rtol=tol, atol=tol) - exact).abs().max()) for tol in (1e-3, 1e-5, 1e-7)
    ]
    assert errors[0] < 5e-2 and errors[1] < 1e-4 and errors[2] < 1e-6
    assert errors[0] > errors[1] > errors[2]


def test_polynomials_up_to_the_fourth_power_of_time_are_exact():
    def quartic(x, t, rows):
        return (5 * t**4 - 4 * t**3 + 3 * t**2)[:, None, None, None] * torch.ones_like(x)

    assert_close(rk45(quartic, start(), 0.0, 1.0, rtol=1.0, atol=1.0), start() + 1, rtol=1e-12, atol=1e-12)


def test_it_agrees_with_scipy_on_one_image():
    image, calls = start(1), []

    def velocity(x, t, rows):
        calls.append(1)
        return swinging(x, t, rows)

    ours = rk45(velocity, image, 0.0, 1.0, rtol=1e-5, atol=1e-5)
    theirs = solve_ivp(
        lambda t, y: torch.cos(torch.tensor(5 * t)).item() * y, (0, 1), image.flatten(), rtol=1e-5, atol=1e-5
    )
    assert_close(ours.flatten(), torch.from_numpy(theirs.y[:, -1]), rtol=1e-5, atol=1e-5)
    assert abs(len(calls) - theirs.nfev) <= 12  # two steps; only the guess of the first differs


def test_a_velocity_that_is_not_finite_is_refused_with_its_time():
    def bursting(x, t, rows):
        return torch.where(t[:, None, None, None] > 0.5, float("nan"), 1.0) * torch.ones_like(x)

    with pytest.raises(SolveError, match=r"no step is small enough at time 0\.5: .* not finite beyond it"):
        rk45(bursting, start(), 0.0, 1.0, rtol=1e-4, atol=1e-4)
    with pytest.raises(SolveError, match="not finite at time 0:"):
        rk45(lambda x, t, rows: x * float("inf"), start(), 0.0, 1.0, rtol=1e-4, atol=1e-4)


def test_a_pole_of_the_velocity_is_refused():
    with pytest.raises(SolveError, match=r"no step is small enough at time 0\.5"):
        rk45(lambda x, t, rows: x**2, torch.full((1, 1, 1, 1), 2.0), 0.0, 1.0, rtol=1e-6, atol=1e-6)


def test_a_trial_that_leaves_the_domain_is_tried_again_with_a_smaller_step():
    ours = rk45(lambda x, t, rows: -40 * x**1.5, torch.ones(1, 1, 1, 1), 0.0, 1.0, rtol=1e-6, atol=1e-9)
    assert_close(ours, torch.full((1, 1, 1, 1), 21.0**-2).double(), rtol=1e-4, atol=1e-8)  # x = (1 + 20 t)^-2


def test_a_slope_that_admits_no_first_step_is_refused():
    steep = torch.full((1, 1, 1, 1), 1e100, dtype=torch.float64)
    with pytest.raises(SolveError, match="no step is small enough at time 0:"):
        rk45(lambda x, t, rows: -1e3 * x**3, steep, 0.0, 1.0, rtol=1e-6, atol=1e-6)


def test_an_image_does_not_depend_on_its_batch():
    rates = torch.tensor([1.0, 30.0, 5.0], dtype=torch.float64)

    def velocity(x, t, rows):
        return -rates[rows][:, None, None, None] * x

    whole = rk45(velocity, start(), 0.0, 1.0, rtol=1e-4, atol=1e-4)
    alone = rk45(lambda x, t, rows: velocity(x, t, rows + 2), start()[2:], 0.0, 1.0, rtol=1e-4, atol=1e-4)
    assert_close(whole[2:], alone, rtol=0, atol=0)
