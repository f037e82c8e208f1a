"""Solvers against the closed form of Gaussian data, where x(s) = m + (x(T) - m) sqrt((v + s²) / (v + T²))."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.data.toy import FiniteData
from hkd.diffusion.ode import solve
from hkd.diffusion.samplers import euler_states, heun_states, last, slope
from hkd.diffusion.schedules import edm_sigmas
from hkd.seeding import stream


def grid(n: int) -> torch.Tensor:
    # without the far ends, where steps are so long that no order shows yet
    return torch.cat((edm_sigmas(n, sigma_min=0.5, sigma_max=4.0, rho=3.0)[:-1], torch.zeros(1).double()))


def noise(n: int = 4) -> torch.Tensor:
    return torch.randn((n, 3, 8, 8), generator=stream(0, "sampler-test"))


class Double(torch.nn.Module):
    """The exact denoiser, told of float64 states: the solvers' own error alone."""

    def __init__(self, data):
        super().__init__()
        self.data, self.calls = data, 0

    def forward(self, x, sigma):
        self.calls += 1
        return self.data(x, sigma)


def error(gaussian, solver, n: int) -> float:
    """At the last positive noise level, before the final Euler step to 0."""
    sigmas = grid(n)
    states = solve(gaussian, noise(), sigmas, solver)
    exact = gaussian.solution(states[:, 0], float(sigmas[0]), float(sigmas[-2]))
    return float((states[:, -2] - exact).norm())


@pytest.mark.parametrize("n", [9, 17])
def test_heun_is_of_second_order(gaussian, n):
    ratio = error(gaussian, "heun", n) / error(gaussian, "heun", 2 * n - 1)  # twice the steps between the same ends
    assert 3.5 < ratio < 6


@pytest.mark.parametrize("n", [17, 33])
def test_euler_is_of_first_order(gaussian, n):
    ratio = error(gaussian, "euler", n) / error(gaussian, "euler", 2 * n - 1)
    assert 1.8 < ratio < 2.4


def test_heun_is_better_than_euler_for_the_same_evaluations(gaussian):
    assert error(gaussian, "heun", 33) < 0.2 * error(gaussian, "euler", 65)


@pytest.mark.parametrize("solver, steps, nfe", [("heun", 18, 35), ("heun", 8, 15), ("heun", 40, 79), ("euler", 18, 18)])
def test_solvers_make_the_evaluations_of_the_tables(gaussian, solver, steps, nfe):
    sigmas = edm_sigmas(steps, sigma_min=0.002, sigma_max=80.0, rho=7.0)
    counted = Double(gaussian)
    solve(counted, noise(1), sigmas, solver)
    assert counted.calls == nfe


@pytest.mark.parametrize("solver", [euler_states, heun_states])
def test_every_state_is_kept_from_the_first_to_the_last(gaussian, solver):
    sigmas = edm_sigmas(5, sigma_min=0.002, sigma_max=80.0, rho=7.0)
    states = list(solver(gaussian, sigmas[0] * noise().double(), sigmas))
    assert len(states) == len(sigmas) and {state.dtype for state in states} == {torch.float64}
    assert_close(states[0], 80 * noise().double())
    assert torch.equal(last(solver(gaussian, sigmas[0] * noise().double(), sigmas)), states[-1].float())


def test_the_last_step_lands_on_the_denoised_image(gaussian):
    sigmas = edm_sigmas(8, sigma_min=0.002, sigma_max=80.0, rho=7.0)
    states = solve(gaussian, noise(), sigmas, "heun")
    assert_close(states[:, -1].float(), gaussian(states[:, -2].float(), 0.002), rtol=1e-5, atol=1e-5)


def test_the_slope_is_that_of_the_ode(gaussian):
    x = gaussian.mean + 3 * noise().double()
    sigma = torch.tensor(2.0, dtype=torch.float64)
    exact = (x - gaussian.mean) * sigma / (gaussian.variance + sigma**2)  # d/ds of the closed form
    assert_close(slope(gaussian, x, sigma), exact, rtol=1e-5, atol=1e-5)


def test_a_trajectory_of_a_finite_set_ends_at_one_of_its_images():
    images = torch.rand((5, 3, 8, 8), generator=stream(1, "images")) * 2 - 1
    sigmas = edm_sigmas(18, sigma_min=0.002, sigma_max=80.0, rho=7.0)
    ends = solve(FiniteData(images), noise(6), sigmas, "heun")[:, -1].float()
    distance = (ends[:, None] - images[None]).abs().amax(dim=(2, 3, 4))
    assert float(distance.amin(dim=1).max()) < 1e-3


def test_solving_builds_no_graph(gaussian):
    net = torch.nn.Conv2d(3, 3, 1)
    states = solve(lambda x, sigma: net(x), noise(1), grid(3), "euler")
    assert not states.requires_grad
