"""The grid of EDM against the values computed in its paper's formula."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.diffusion.schedules import edm_sigmas

EDM = {"sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}
EIGHTEEN = [80, 57.586, 40.786, 28.375, 19.352, 12.910, 8.4009, 5.3152, 3.2568, 1.9233, 1.0882, 0.58535, 0.29644,
            0.13952, 0.059947, 0.022935, 0.0075280, 0.002, 0]  # fmt: skip
EIGHT = [80, 34.992, 13.699, 4.6371, 1.2866, 0.26748, 0.035187, 0.002, 0]


@pytest.mark.parametrize("values", [EIGHTEEN, EIGHT])
def test_the_grid_has_its_published_values(values):
    grid = edm_sigmas(len(values) - 1, **EDM)
    assert grid.dtype == torch.float64
    assert_close(grid, torch.tensor(values, dtype=torch.float64), rtol=5e-5, atol=0)


def test_the_grid_of_forty_begins_and_ends_as_published():
    grid = edm_sigmas(40, **EDM)
    assert_close(grid[:4], torch.tensor([80, 69.451, 60.117, 51.880], dtype=torch.float64), rtol=2e-5, atol=0)
    ends = torch.tensor([0.010812, 0.006437, 0.003677, 0.002, 0], dtype=torch.float64)
    assert_close(grid[-5:], ends, rtol=2e-4, atol=0)


def test_the_grid_falls_and_is_even_in_its_root():
    grid = edm_sigmas(18, **EDM)
    assert bool((grid.diff() < 0).all())
    assert_close(grid[:-1].pow(1 / 7).diff(), torch.full((17,), float(grid[:-1].pow(1 / 7).diff()[0])).double())


@pytest.mark.parametrize(
    "n, low, high", [(1, 0.002, 80.0), (18, 0.0, 80.0), (18, 80.0, 0.002), (18, 1.0, 1.0), (18, -1.0, 80.0)]
)
def test_an_impossible_grid_is_refused(n, low, high):
    with pytest.raises(ValueError, match="need n >= 2"):
        edm_sigmas(n, sigma_min=low, sigma_max=high, rho=7.0)
