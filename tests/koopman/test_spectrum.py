"""Spectra of operators, and of images whose spectrum is known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from hkd.koopman.spectrum import agreement, frequency_rings, order_key, radial_power_spectrum, rank_correlation, spectra


def test_spectra_are_the_eigenvalues_of_the_dense_blocks(make_net):
    net = make_net()
    for level, values in spectra(net).items():
        alpha, beta = (rate.detach() for rate in net.koopman[level].rates())
        blocks = torch.stack((alpha, -beta, beta, alpha), -1).unflatten(-1, (2, 2))
        expected = torch.linalg.eigvals(blocks)
        found = torch.stack((values, values.conj()), -1)
        assert_close(found.real.sort(-1).values, expected.real.sort(-1).values, rtol=1e-4, atol=1e-4)
        assert_close(found.imag.sort(-1).values, expected.imag.sort(-1).values, rtol=1e-4, atol=1e-4)


def test_order_keys():
    values = torch.tensor([3 + 4j, -1 + 0j])
    assert order_key(values, "alpha").tolist() == [3, -1]
    assert order_key(values, "abs_alpha").tolist() == [3, 1]
    assert order_key(values, "abs_eig").tolist() == [5, 1]
    with pytest.raises(ValueError, match="order_by: 'beta' is not one of"):
        order_key(values, "beta")


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_is_spearmans(ties):
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 200, generator=draw)
    b = b + a
    if ties:
        a, b = a.round(), b.round()
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a.numpy(), b.numpy()).statistic)


def test_agreement_of_a_spectrum_with_itself_its_negative_and_a_constant(make_net):
    first = spectra(make_net())
    assert agreement(first, first, "alpha") == pytest.approx(dict.fromkeys(first, 1.0))
    negative = {level: -values for level, values in first.items()}
    assert agreement(first, negative, "alpha") == pytest.approx(dict.fromkeys(first, -1.0))
    assert agreement(first, negative, "abs_eig") == pytest.approx(dict.fromkeys(first, 1.0))
    assert all(math.isnan(value) for value in agreement(first, spectra(make_net(rates=0)), "alpha").values())


def test_spectra_of_different_networks_are_not_compared(make_net):
    with pytest.raises(ValueError, match="level 8x8_conv"):
        agreement(spectra(make_net()), spectra(make_net(levels="bottleneck_only")), "alpha")


def test_stripes_have_their_power_at_their_frequency():
    x = torch.arange(16)
    stripes = torch.sin(2 * torch.pi * 3 * x / 16).expand(1, 3, 16, 16)
    frequencies, power = radial_power_spectrum(stripes)
    assert int(power.argmax()) == 3
    assert frequencies[3] == 3 / 16
    assert power[[0, 1, 2, 4, 5, 6, 7, 8]].max() < 1e-10


def test_power_averages_to_the_mean_square():
    images = torch.randn(3, 2, 12, 12, generator=torch.Generator().manual_seed(1))
    _, power = radial_power_spectrum(images)
    _, counts = frequency_rings(12, 12)
    assert_close((power * counts).sum() / 144, images.double().square().mean())
