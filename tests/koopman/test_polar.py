"""The polynomials against float64, and their values at the ends of float32."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.evolution import evolve
from hkd.koopman.fast_evolution import evolve_fast
from hkd.koopman.polar import polar


def test_polynomials_are_exact_to_float32():
    log_radius, angle = torch.meshgrid(torch.linspace(-20, 20, 401), torch.linspace(-200, 200, 4001), indexing="ij")
    cos, sin = polar(log_radius, angle)
    radius, angle = log_radius.double().exp(), angle.double()
    assert ((cos - radius * angle.cos()) / radius).abs().max() < 3e-7
    assert ((sin - radius * angle.sin()) / radius).abs().max() < 3e-7


def test_radius_overflows_and_vanishes_as_exp_does():
    extreme = torch.tensor([-1e4, -100.0, 100.0, 1e4, float("nan")])
    cos, _ = polar(extreme, torch.zeros(5))
    assert_close(cos, torch.tensor([0.0, 0.0, torch.inf, torch.inf, torch.nan]), equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "pairing, own",
    [pytest.param("half", True, marks=pytest.mark.ci), ("half", False), ("adjacent", True), ("adjacent", False)],
)
def test_compiled_evolution_and_its_gradients_equal_the_formula(pairing, own):
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(5, 8, 16, 16, generator=draw, requires_grad=True)
    alpha, beta = (torch.randn(4, 16, 16, generator=draw).requires_grad_() for _ in "ab")
    dt = -torch.rand(5 if own else (), generator=draw)
    g = torch.randn(z.shape, generator=draw)
    results = []
    for path in (evolve, torch.compile(evolve_fast)):
        out = path(z, alpha, beta, dt, pairing)
        results.append((out, *torch.autograd.grad(out, (z, alpha, beta), g)))
    for plain, compiled in zip(*results, strict=True):
        assert_close(compiled, plain, rtol=1e-4, atol=1e-5)
