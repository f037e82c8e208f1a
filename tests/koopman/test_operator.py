"""One level's operator: its initial state, its bounds, and the weights that it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.bounds import Bounds
from hkd.koopman.coupled import FourierOperator
from hkd.koopman.operator import KoopmanOperator

KINDS = pytest.mark.parametrize("kind", [KoopmanOperator, FourierOperator])


def random_operator(kind, scale=0.5, seed=0, **options):
    operator = kind(4, 6, 6, **options).double()
    with torch.no_grad():
        operator.generator.copy_(scale * torch.randn(4, 6, 6, generator=torch.Generator().manual_seed(seed)))
    return operator


def latent(batch=3, seed=1):
    return torch.randn(batch, 4, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@KINDS
def test_operator_starts_as_the_identity_with_one_number_per_element(kind):
    operator = kind(4, 6, 6)
    z = latent().float()
    assert_close(operator(z, -79.998), z, rtol=0, atol=1e-6)
    assert sum(p.numel() for p in operator.parameters()) == 4 * 6 * 6


def test_first_half_of_the_channels_is_alpha_and_the_second_beta():
    operator = random_operator(KoopmanOperator)
    assert_close(operator.rates().alpha, operator.generator[:2])
    assert_close(operator.eigenvalues(), torch.complex(operator.generator[:2], operator.generator[2:]).detach())


@KINDS
@pytest.mark.parametrize("dt", [-0.8, torch.tensor([0.3, -1.0, 0.5])])
def test_evolution_is_a_real_group(kind, dt):
    operator, z = random_operator(kind), latent()
    out = operator(z, dt)
    assert out.dtype == z.dtype
    assert not out.is_complex()
    assert_close(operator(out, -dt), z)
    assert_close(operator(operator(z, dt), dt), operator(z, 2 * dt))


@KINDS
def test_energy_sums_to_the_square_of_the_latent_and_projections_split_it(kind):
    operator, z = random_operator(kind), latent()
    energy = operator.energy(z).double()
    assert_close(energy.sum((1, 2, 3)), z.square().sum((1, 2, 3)), rtol=1e-5, atol=1e-5)
    keep = operator.rates().alpha > 0  # alpha is even in frequency, so this mask is symmetric
    low, high = operator.project(z, keep), operator.project(z, ~keep)
    assert_close(low + high, z, rtol=1e-5, atol=1e-5)
    assert_close((low * high).sum((1, 2, 3)), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-4)
    assert_close(operator.project(low, keep), low, rtol=1e-5, atol=1e-5)


@KINDS
def test_projection_commutes_with_the_flow(kind):
    operator, z = random_operator(kind), latent()
    keep = operator.rates().alpha > 0
    assert_close(
        operator(operator.project(z, keep), -1.0), operator.project(operator(z, -1.0), keep), rtol=1e-4, atol=1e-4
    )


@KINDS
@pytest.mark.parametrize(
    ("bounds", "measure", "limit"),
    [
        (Bounds(alpha_clamp=2.0), "max_abs_alpha", 2.0),
        (Bounds(alpha_bound=2.0), "max_abs_alpha", 2.0),
        (Bounds(radius_bound=2.0), "spectral_radius", 2.0),
    ],
)
def test_bounds_hold_for_any_parameters_and_vanish_for_small_ones(kind, bounds, measure, limit):
    wild = random_operator(kind, scale=100.0, bounds=bounds, span=4.0)
    assert getattr(wild.diagnostics(), measure) * 4.0 <= limit * (1 + 1e-9)
    assert wild.diagnostics().max_exponent <= limit * (1 + 1e-9)
    tame, free = random_operator(kind, scale=1e-4, bounds=bounds, span=4.0), random_operator(kind, scale=1e-4)
    assert_close(tame.rates().alpha, free.rates().alpha, rtol=1e-4, atol=1e-9)
    assert_close(tame.rates().beta, free.rates().beta, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("key", ["alpha_clamp", "alpha_bound", "radius_bound"])
def test_bounded_operators_learn_from_zero(key):
    operator = KoopmanOperator(4, 6, 6, bounds=Bounds(**{key: 3.0}))
    operator(latent().float(), -1.0).square().sum().backward()
    assert torch.isfinite(operator.generator.grad).all()
    assert operator.generator.grad[:2].abs().min() > 0


def test_diagnostics_are_the_extremes_of_the_spectrum():
    operator = KoopmanOperator(2, 1, 2, span=10.0)
    with torch.no_grad():
        operator.generator.copy_(torch.tensor([[[-3.0, 1.0]], [[4.0, 0.0]]]))
    assert operator.diagnostics() == pytest.approx((3.0, 5.0, 30.0))


def test_frozen_operator_is_exactly_the_identity_and_does_not_train():
    operator = KoopmanOperator(4, 6, 6, frozen=True)
    z = latent().float()
    assert operator(z, -50.0) is z
    assert not any(p.requires_grad for p in operator.parameters())


def test_odd_channels_are_refused():
    with pytest.raises(ValueError, match=r"koopman.8x8_down: 5 channels cannot be paired"):
        KoopmanOperator(5, 8, 8, name="8x8_down")


def test_unknown_pairing_is_refused():
    with pytest.raises(ValueError, match="pairing: 'thirds' is not one of half, adjacent"):
        KoopmanOperator(4, 2, 2, pairing="thirds")


@KINDS
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_operators_that_are_not_finite_are_refused(kind, value):
    state = random_operator(kind, name="8x8_down").state_dict()
    state["generator"][0, 0, 0] = value
    with pytest.raises(ValueError, match=r"koopman.8x8_down.generator: 1 of 144 values are not finite"):
        kind(4, 6, 6, name="8x8_down").load_state_dict(state)


def test_trained_weights_are_refused_where_the_operator_is_frozen():
    with pytest.raises(ValueError, match="frozen: true"):
        KoopmanOperator(4, 6, 6, frozen=True).load_state_dict(random_operator(KoopmanOperator).state_dict())


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_impossible_limits_are_refused(limit):
    with pytest.raises(ValueError, match="radius_bound: must be a positive exponent"):
        Bounds(radius_bound=limit)


@pytest.mark.parametrize("frozen", [False, True])
def test_another_number_of_steps_than_of_latents_is_refused(frozen):
    operator, z = KoopmanOperator(4, 2, 2, name="8x8", frozen=frozen), torch.ones(3, 4, 2, 2)
    for steps in (torch.ones(1), torch.ones(3), torch.tensor(0.5), 0.5):
        assert operator(z, steps).shape == z.shape
    with pytest.raises(ValueError, match="dt: 2 steps for 3 latents of level 8x8; give one, or one each"):
        operator(z, torch.ones(2))
