"""Preconditioning against the printed coefficients and the properties of each wrapper."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from hkd.nets.precond import ConsistencyPrecond, EDMPrecond, VEPrecond, VPPrecond, noise_levels
from hkd.nets.unet import SongUNet


class Recorder(nn.Module):
    """A network that keeps what it is given and answers with its input plus one."""

    img_resolution, img_channels = 4, 3

    def __init__(self, label_dim=0):
        super().__init__()
        self.label_dim = label_dim

    def forward(self, x, noise_labels, class_labels=None, augment_labels=None):
        self.given = (x, noise_labels, class_labels, augment_labels)
        return x + 1


def coefficients(precond, sigma):
    return [value.item() for value in precond.coefficients(noise_levels(sigma))]


@pytest.mark.parametrize(
    ("sigma", "expected"),
    [
        (0.002, (0.999984, 0.00199998, 1.99998, -1.553652)),
        (0.5, (0.5, 0.353553, 1.414214, -0.173287)),
        (80.0, (3.9061e-5, 0.499990, 0.01249976, 1.095507)),
    ],
)
def test_edm_coefficients_are_the_printed_ones(sigma, expected):
    assert coefficients(EDMPrecond(Recorder()), sigma) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize(("sigma", "expected"), [(0.5, (0.50200, 0.352139)), (80.0, (3.9063e-5, 0.499978))])
def test_consistency_coefficients_are_the_printed_ones(sigma, expected):
    found = coefficients(ConsistencyPrecond(Recorder()), sigma)
    assert found[:2] == pytest.approx(expected, rel=2e-5)
    assert found[2:] == pytest.approx(coefficients(EDMPrecond(Recorder()), sigma)[2:])


@given(st.floats(1e-3, 100), st.floats(0.1, 2))
def test_edm_keeps_unit_variance_at_input_and_target(sigma, sigma_data):
    c_skip, c_out, c_in, _ = coefficients(EDMPrecond(Recorder(), sigma_data), sigma)
    assert c_in**2 * (sigma**2 + sigma_data**2) == pytest.approx(1, rel=1e-4)
    target_variance = ((1 - c_skip) ** 2 * sigma_data**2 + c_skip**2 * sigma**2) / c_out**2
    assert target_variance == pytest.approx(1, rel=1e-3)


@given(st.sampled_from([0.002, 0.003]), st.integers(0, 99))
def test_a_consistency_model_is_the_identity_at_its_least_noise(sigma_min, seed):
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(ConsistencyPrecond(Recorder(), sigma_min=sigma_min)(x, sigma_min), x)


@given(st.floats(1e-3, 1))
def test_vp_time_inverts_its_noise_level(t):
    precond = VPPrecond(Recorder())
    sigma = torch.tensor(precond.sigma(t), dtype=torch.float64)
    assert precond.time(sigma).item() == pytest.approx(t, rel=1e-6)


def test_vp_feeds_the_steps_of_ddpm():
    precond = VPPrecond(Recorder())
    assert precond.sigma_max == pytest.approx(math.sqrt(math.exp(0.5 * 19.9 + 0.1) - 1))
    assert coefficients(precond, precond.sigma_max)[3] == pytest.approx(999, rel=1e-4)
    assert coefficients(precond, 2.0)[:3] == pytest.approx([1, -2, 1 / math.sqrt(5)])


def test_ve_feeds_the_logarithm_of_half_the_noise():
    assert coefficients(VEPrecond(Recorder()), 10.0) == pytest.approx([1, 10, 1, math.log(5)])


@pytest.mark.parametrize("kind", [EDMPrecond, ConsistencyPrecond, VPPrecond, VEPrecond])
def test_every_wrapper_combines_as_stated(kind):
    precond = kind(Recorder())
    x, sigma = torch.randn(2, 3, 4, 4), torch.tensor([0.3, 7.0])
    c_skip, c_out, c_in, c_noise = precond.coefficients(noise_levels(sigma))
    assert_close(precond(x, sigma), c_skip * x + c_out * (c_in * x + 1))
    assert_close(precond.model.given[1], c_noise)
    assert (precond.img_resolution, precond.img_channels, precond.label_dim) == (4, 3, 0)


def test_a_number_serves_as_noise_level_of_all():
    precond = EDMPrecond(Recorder())
    x = torch.randn(2, 3, 4, 4)
    for sigma in (3.0, torch.tensor(3.0), torch.tensor([3.0], dtype=torch.float64)):
        assert_close(precond(x, sigma), precond(x, torch.tensor([3.0, 3.0])))


def test_the_network_always_sees_float32():
    precond = EDMPrecond(Recorder(label_dim=2))
    labels = torch.eye(2, dtype=torch.int64)
    found = precond(torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64), labels)
    assert {value.dtype for value in (found, *precond.model.given[:3])} == {torch.float32}


def test_labels_are_dropped_by_an_unconditional_network():
    precond = EDMPrecond(Recorder())
    precond(torch.randn(2, 3, 4, 4), 1.0, torch.eye(2))
    assert precond.model.given[2] is None


def test_labels_and_augmentation_reach_a_network_that_takes_them():
    precond = EDMPrecond(Recorder(label_dim=2))
    precond(torch.randn(2, 3, 4, 4), 1.0, torch.eye(2).flatten(), torch.ones(2, 9))
    assert_close(precond.model.given[2:], (torch.eye(2), torch.ones(2, 9)))


def test_two_wrappers_can_share_a_network():
    net = SongUNet(8, 3, 3, model_channels=8, channel_mult=(1,), num_blocks=1, attn_resolutions=())
    trained, evaluated = EDMPrecond(net), ConsistencyPrecond(net, sigma_min=0.003)
    assert list(trained.state_dict()) == list(evaluated.state_dict())
    assert all(name.startswith("model.") for name in trained.state_dict())
