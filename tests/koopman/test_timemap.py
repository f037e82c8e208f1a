"""Each time map starts at 0, increases, can be undone, and keeps the flow of an operator a semigroup."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from hkd.koopman.operator import KoopmanOperator
from hkd.koopman.timemap import TIME_MAPS, TimeMap

EPS, T = 0.002, 80.0
EACH = pytest.mark.parametrize("name", TIME_MAPS)
level = st.floats(EPS, T)


def time_map(name):
    return TimeMap(name, sigma_min=EPS, sigma_max=T)


@pytest.mark.parametrize(
    ("name", "span", "at_one"),
    [
        ("sigma", 79.998, 0.998),
        ("sigma_unit", 1, 0.998 / 79.998),
        ("log_sigma", 10.59663, math.log(500)),
        ("log_unit", 1, math.log(500) / 10.59663),
        ("rho", 1, (1 - 0.41156) / (1.87012 - 0.41156)),
    ],
)
def test_values_at_both_ends_and_at_one(name, span, at_one):
    s = time_map(name)
    assert s(EPS) == 0
    assert s.span == pytest.approx(s(T)) == pytest.approx(span, rel=1e-5)
    assert s(1.0) == pytest.approx(at_one, rel=1e-4)


@EACH
@given(a=level, b=level)
@settings(max_examples=30, deadline=None)
def test_map_increases_and_can_be_undone(name, a, b):
    s = time_map(name)
    assert s.inverse(s(a)) == pytest.approx(a, rel=1e-9)
    assert (s(a) - s(b)) * (a - b) >= 0
    tensor = torch.tensor([a, b], dtype=torch.float64)
    assert_close(s(tensor), torch.tensor([s(a), s(b)], dtype=torch.float64))
    assert_close(s.inverse(s(tensor)), tensor)


@EACH
@given(a=level, b=level, c=level)
@settings(max_examples=20, deadline=None)
def test_flow_between_noise_levels_is_a_semigroup(name, a, b, c):
    s, operator = time_map(name), KoopmanOperator(4, 2, 2).double()
    with torch.no_grad():
        operator.generator.copy_(torch.linspace(-1, 1, 16).reshape(4, 2, 2) / s.span)
    z = torch.randn(2, 4, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    via = operator(operator(z, s(b) - s(a)), s(c) - s(b))
    assert_close(via, operator(z, s(c) - s(a)))


@EACH
def test_middle_is_half_way_in_mapped_time(name):
    s = time_map(name)
    assert s(s.middle()) == pytest.approx(s.span / 2)
    assert EPS < s.middle() < T


@pytest.mark.parametrize("sigma", [0.0, 0.0019, 81.0, float("nan"), torch.tensor([1.0, 90.0])])
def test_times_outside_are_refused(sigma):
    with pytest.raises(ValueError, match=r"outside \[0.002, 80\]"):
        time_map("rho").check(sigma)


def test_ends_rounded_to_float32_are_accepted():
    time_map("rho").check(torch.tensor([EPS, T], dtype=torch.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "karras"}, "time_map: 'karras'"),
        ({"sigma_min": 0.0}, "sigma_min < sigma_max"),
        ({"sigma_min": 90.0}, "sigma_min < sigma_max"),
        ({"rho": 0.0}, "rho"),
    ],
)
def test_impossible_maps_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TimeMap(**{"name": "rho", "sigma_min": EPS, "sigma_max": T, **change})


def gaussian_misfit(name, variance=0.25):
    """Relative error of the best constant rate for x(t) = x_T sqrt((v + t^2) / (v + T^2)), the exact trajectory of
    N(0, v) data, over noise levels spread evenly in log sigma."""
    s = time_map(name)
    sigma = torch.logspace(math.log10(EPS), math.log10(T), 200, dtype=torch.float64)
    exact = ((variance + sigma**2) / (variance + T**2)).sqrt()
    back = s(sigma) - s.span
    candidates = torch.linspace(0, 15, 3001, dtype=torch.float64)[:, None] / s.span
    error = ((torch.exp(candidates * back) - exact) ** 2).sum(1) / (exact**2).sum()
    return error.min().sqrt().item()


def test_no_constant_rate_is_exact_on_gaussian_data_and_log_time_fits_far_better_than_sigma():
    misfit = {name: gaussian_misfit(name) for name in TIME_MAPS}
    assert min(misfit.values()) > 1e-3
    assert misfit["log_sigma"] < 0.1 * misfit["sigma"]
    assert misfit["log_sigma"] == pytest.approx(misfit["log_unit"])
    assert misfit["sigma"] == pytest.approx(misfit["sigma_unit"])
