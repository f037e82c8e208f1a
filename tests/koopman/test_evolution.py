"""The closed form against the matrix exponential, the fast path against the closed form."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from hkd.koopman.evolution import evolve, join_pairs, split_pairs
from hkd.koopman.fast_evolution import evolve_fast

PAIRINGS = ["half", "adjacent"]
PATHS = pytest.mark.parametrize("path", [evolve, evolve_fast])
rates = st.floats(-3, 3, allow_nan=False)


def blocks(seed=0, batch=3, k=4, size=5, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(batch, 2 * k, size, size, generator=draw, dtype=dtype)
    alpha, beta = torch.randn(2, k, size, size, generator=draw, dtype=dtype)
    return z, alpha, beta


def exponential(z, alpha, beta, dt, pairing):
    """exp(A dt) z by a general matrix exponential of every 2x2 block."""
    generator = torch.stack((alpha, -beta, beta, alpha), dim=-1).unflatten(-1, (2, 2))
    steps = dt.reshape(-1, 1, 1, 1, 1, 1)
    pairs = torch.stack(split_pairs(z, pairing), dim=-1)
    return join_pairs(*(torch.linalg.matrix_exp(generator * steps) @ pairs[..., None])[..., 0].unbind(-1), pairing)


@PATHS
@pytest.mark.parametrize("pairing", PAIRINGS)
@given(seed=st.integers(0, 2**16), dt=st.floats(-3, 3), own=st.booleans())
@settings(max_examples=25, deadline=None)
def test_evolution_is_the_matrix_exponential(path, pairing, seed, dt, own):
    z, alpha, beta = blocks(seed)
    step = torch.tensor([dt, -dt, dt / 3]) if own else torch.tensor(dt)
    step = step.to(torch.float64)
    assert_close(
        path(z, alpha, beta, step, pairing), exponential(z, alpha, beta, step, pairing), rtol=1e-11, atol=1e-11
    )


@PATHS
@given(a=rates, b=rates, first=st.floats(-2, 2), second=st.floats(-2, 2))
@settings(max_examples=40, deadline=None)
def test_two_steps_are_one_of_their_sum(path, a, b, first, second):
    z, alpha, beta = blocks()
    alpha, beta = alpha * a, beta * b
    twice = path(path(z, alpha, beta, torch.tensor(first).double()), alpha, beta, torch.tensor(second).double())
    once = path(z, alpha, beta, torch.tensor(first).double() + torch.tensor(second).double())
    assert_close(twice, once, rtol=1e-9, atol=1e-9 * float(once.abs().max() + twice.abs().max() + 1))


@PATHS
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_evolving_there_and_back_is_the_identity(path, pairing):
    z, alpha, beta = blocks()
    dt = torch.tensor([0.7, -1.3, 0.0], dtype=torch.float64)
    assert_close(path(path(z, alpha, beta, dt, pairing), alpha, beta, -dt, pairing), z)


@PATHS
def test_step_of_zero_and_rates_of_zero_change_nothing(path):
    z, alpha, beta = blocks(dtype=torch.float32)
    assert torch.equal(path(z, alpha, beta, torch.tensor(0.0)), z)
    assert torch.equal(path(z, 0 * alpha, 0 * beta, torch.tensor(-79.998)), z)


def test_magnitude_and_phase_are_those_of_the_eigenvalue():
    z, alpha, beta = blocks()
    dt = torch.tensor(-0.6, dtype=torch.float64)
    before, after = (torch.complex(*split_pairs(x, "half")) for x in (z, evolve_fast(z, alpha, beta, dt)))
    assert_close(after, before * torch.exp(torch.complex(alpha, beta) * dt))


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("dt", [torch.tensor(-0.7), torch.tensor([-0.7, 0.2, -1.1])])
def test_gradients_agree_with_finite_differences(pairing, dt):
    inputs = [x.requires_grad_() for x in (*blocks(k=2, size=2), dt.double())]
    assert torch.autograd.gradcheck(lambda *x: evolve_fast(*x, pairing), inputs)


@pytest.mark.parametrize("dt", [-0.7, 0.4])
def test_gradients_are_those_of_the_formulas(dt):
    z, alpha, beta = (x.requires_grad_() for x in blocks())
    step = torch.tensor(dt, dtype=torch.float64, requires_grad=True)
    out = evolve_fast(z, alpha, beta, step)
    g = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    d_z, d_alpha, d_beta, d_dt = torch.autograd.grad(out, (z, alpha, beta, step), g)
    with torch.no_grad():
        (z1, z2), (g1, g2) = split_pairs(out, "half"), split_pairs(g, "half")
        assert_close(d_alpha, dt * (g1 * z1 + g2 * z2).sum(0))
        assert_close(d_beta, dt * (g2 * z1 - g1 * z2).sum(0))
        assert_close(d_z, evolve(g, alpha, -beta, step))
        generator_times_z = join_pairs(alpha * z1 - beta * z2, beta * z1 + alpha * z2, "half")
        assert_close(d_dt, (g * generator_times_z).sum())


def test_rates_of_zero_receive_gradients():
    z, alpha, beta = blocks()
    alpha, beta = (torch.zeros_like(x, requires_grad=True) for x in (alpha, beta))
    out = evolve_fast(z, alpha, beta, torch.tensor(-1.0))
    d_alpha, d_beta = torch.autograd.grad(out, (alpha, beta), torch.ones_like(out))
    u, v = split_pairs(z, "half")
    assert_close(d_alpha, -(u + v).sum(0))
    assert_close(d_beta, -(u - v).sum(0))


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("shape", [(3, 8, 4, 4), (70, 16, 32, 32)])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fast_path_equals_the_formula(pairing, shape, own, layout):
    draw = torch.Generator().manual_seed(2)
    z = torch.randn(shape, generator=draw).to(memory_format=layout).requires_grad_()
    alpha, beta = (0.5 * torch.randn(shape[1] // 2, *shape[2:], generator=draw) for _ in "ab")
    alpha.requires_grad_(), beta.requires_grad_()
    dt = -torch.rand(shape[0] if own else (), generator=draw)
    g = torch.randn(shape, generator=draw)
    results = []
    for path in (evolve, evolve_fast):
        out = path(z, alpha, beta, dt, pairing)
        results.append((out, *torch.autograd.grad(out, (z, alpha, beta), g)))
    for plain, fast in zip(*results, strict=True):
        assert_close(fast, plain, rtol=1e-4, atol=1e-4)


def test_backward_keeps_the_latent_and_nothing_else_per_image():
    z, alpha, beta = (x.requires_grad_() for x in blocks(batch=6, dtype=torch.float32))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        evolve_fast(z, alpha, beta, torch.linspace(-1, 0, 6))
    per_image = [x for x in kept if x.ndim and x.shape[0] == 6 and x.numel() > 6]
    assert [x.data_ptr() for x in per_image] == [z.data_ptr()]
    assert sum(x.numel() for x in kept) == z.numel() + alpha.numel() + beta.numel() + 6


def test_second_derivatives_are_refused():
    z, alpha, beta = (x.requires_grad_() for x in blocks(k=1, size=1))
    dt = torch.tensor(-1.0)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(evolve_fast(z, alpha, beta, dt).sum(), alpha, create_graph=True)
    (d_alpha,) = torch.autograd.grad(evolve(z, alpha, beta, dt).sum(), alpha, create_graph=True)
    assert torch.autograd.grad(d_alpha.sum(), alpha)[0].abs().sum() > 0


@PATHS
def test_half_precision_latents_are_evolved_in_float32(path):
    z, alpha, beta = blocks(dtype=torch.float32)
    low = z.bfloat16()
    dt = torch.tensor(-1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = path(low, alpha, beta, dt)
    assert out.dtype == torch.bfloat16
    assert_close(out, path(low.float(), alpha, beta, dt).bfloat16(), rtol=0, atol=0)


def test_recovers_the_rates_of_a_known_linear_system():
    """x' = a x: fitted to states at random times, the rates come out as those that made them."""
    z, alpha, beta = blocks(batch=32, k=2, size=1)
    alpha, beta = 0.5 * alpha, 0.5 * beta
    draw = torch.Generator().manual_seed(3)
    fitted = [torch.zeros_like(alpha, requires_grad=True) for _ in "ab"]
    optimiser = torch.optim.Adam(fitted, lr=0.05)
    for _ in range(300):
        dt = -torch.rand(32, generator=draw, dtype=torch.float64)
        error = (evolve_fast(z, *fitted, dt) - evolve(z, alpha, beta, dt)).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    assert_close(fitted[0].detach(), alpha, rtol=0, atol=1e-3)
    assert_close(fitted[1].detach(), beta, rtol=0, atol=1e-3)
