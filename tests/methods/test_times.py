"""HKD's intermediate times: each law is uniform in its own variable, on the stored grid as between its points."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hkd.data.trajectories import Trajectories
from hkd.diffusion.schedules import edm_sigmas
from hkd.draws import StreamDraws
from hkd.methods.times import TimeLaw, grid_weights
from hkd.seeding import stream

EPS, T = 0.002, 80.0
GRID = edm_sigmas(18, sigma_min=EPS, sigma_max=T, rho=7.0)[:-1]
LAWS = ["uniform_t", "uniform_index", "uniform_log", "lognormal"]


def law(**changes) -> TimeLaw:
    base = {"sigma_min": EPS, "sigma_max": T, "rho": 7.0, "time_dist": "uniform_index", "time_states": "interp"}
    base |= {"time_draw": "per_sample", "time_support": "eps_to_T", "n_intermediate": 1}
    return TimeLaw(**{**base, **changes})


@pytest.fixture(scope="module")
def batch(trajectories):
    return Trajectories(trajectories).batch(np.arange(6))


def test_uniform_in_t_weighs_a_grid_point_by_its_stretch():
    weights = grid_weights(GRID, "uniform_t")
    assert len(weights) == 17  # every point but T itself
    for i in range(1, 17):
        assert float(weights[i - 1]) == pytest.approx(float(GRID[i - 1] - GRID[i + 1]) / 2)
    assert float(weights[-1]) == pytest.approx(float(GRID[16] - GRID[17]) / 2)


def test_uniform_in_index_weighs_all_alike():
    assert torch.equal(grid_weights(GRID, "uniform_index"), torch.ones(17, dtype=torch.float64))


def test_uniform_in_log_weighs_by_the_ratio_of_neighbours():
    weights = grid_weights(GRID, "uniform_log")
    assert float(weights[4]) == pytest.approx(float((GRID[4] / GRID[6]).log()) / 2)


def test_log_normal_weighs_most_where_images_form():
    weights = grid_weights(GRID, "lognormal")
    assert 0.1 < float(GRID[1:][weights.argmax()]) < 1.0


def test_log_normal_times_are_those_of_edms_training():
    """ln sigma ~ N(-1.2, 1.2²), between the points of the grid and, weighed by their stretch, on them."""
    u = torch.rand(20_000, generator=stream(0, "u"), dtype=torch.float64)
    drawn = law(time_dist="lognormal").levels(u, StreamDraws(stream(0, "x"))).log()
    assert float(drawn.mean()) == pytest.approx(-1.2, abs=0.04) and float(drawn.std()) == pytest.approx(1.2, abs=0.03)
    fine = edm_sigmas(400, sigma_min=EPS, sigma_max=T, rho=7.0)[:-1]
    weights, log = grid_weights(fine, "lognormal"), fine[1:].log()
    mean = float((weights * log).sum() / weights.sum())
    deviation = float(((weights * (log - mean) ** 2).sum() / weights.sum()).sqrt())
    assert mean == pytest.approx(-1.2, abs=0.01) and deviation == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize("name", LAWS)
def test_points_are_drawn_as_often_as_their_weights_say(batch, name):
    times = law(time_states="grid", time_dist=name)
    counts, generator, total = torch.zeros(18), StreamDraws(stream(0, "draws")), 0
    lookup = {float(value): k for k, value in enumerate(GRID.float())}
    for _ in range(400):
        _, sigma = times.state(batch, generator)
        for value in sigma.tolist():
            counts[lookup[value]] += 1
            total += 1
    weights = grid_weights(GRID, name)
    expected = torch.cat((torch.zeros(1), (weights / weights.sum()).float()))
    spread = (expected * (1 - expected) / total).sqrt()
    assert bool(((counts / total - expected).abs() <= 5 * spread + 1e-9).all())
    assert counts[0] == 0  # T has a term of its own


@pytest.mark.parametrize("states", ["grid", "interp"])
def test_an_intermediate_state_lies_on_its_own_trajectory(batch, gaussian, states):
    state, sigma = law(time_states=states).state(batch, StreamDraws(stream(0, "x")))
    truth = gaussian.solution(batch.state(0), T, sigma.double()).float()
    scale = (sigma**2 + 0.25).sqrt()[:, None, None, None]
    assert float(((state - truth) / scale).abs().mean()) < 0.02  # the stored ones are Heun's


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("states", ["grid", "interp"])
def test_a_batch_shares_its_times_or_not(batch, states, name):
    many = law(time_states=states, time_dist=name).state(batch, StreamDraws(stream(0, "x")))[1]
    one = law(time_states=states, time_dist=name, time_draw="per_batch").state(batch, StreamDraws(stream(0, "x")))[1]
    assert one.shape == many.shape == (6,)
    assert len(set(one.tolist())) == 1 < len(set(many.tolist()))


@pytest.mark.parametrize(
    "name, of",
    [("uniform_t", lambda s: s), ("uniform_log", torch.log), ("uniform_index", lambda s: s ** (1 / 7))],
)
def test_times_are_uniform_in_their_own_variable(name, of):
    u = torch.linspace(0, 1, 11, dtype=torch.float64)
    sigma = law(time_dist=name).levels(u, StreamDraws(stream(0, "x")))
    steps = of(sigma).diff()
    assert_close(steps, steps.mean().expand(10), rtol=1e-6, atol=1e-9)
    assert_close(sigma[[0, -1]], torch.tensor([EPS, T]).double())


@pytest.mark.parametrize("name", ["uniform_t", "uniform_index"])
def test_times_below_eps_are_eps(name):
    u = torch.linspace(0, 1e-6, 3, dtype=torch.float64)
    assert bool((law(time_dist=name, time_support="zero_to_T").levels(u, StreamDraws(stream(0, "x"))) == EPS).all())


def test_a_law_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="time_dist: 'uniform' is not one of uniform_t, uniform_index"):
        law(time_dist="uniform")
