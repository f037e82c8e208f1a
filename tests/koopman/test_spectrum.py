"""Spectra of operators, and of images whose spectrum is known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from hkd.koopman.spectrum import (
    agreement,
    agreement_test,
    frequency_rings,
    order_key,
    radial_power_spectrum,
    rank_correlation,
    spectra,
)


def test_spectra_are_the_eigenvalues_of_the_dense_blocks(make_net):
    net = make_net()
    for level, values in spectra(net).items():
        alpha, beta = (rate.detach() for rate in net.koopman[level].rates())
        blocks = torch.stack((alpha, -beta, beta, alpha), -1).unflatten(-1, (2, 2))
        expected = torch.linalg.eigvals(blocks)
        found = torch.stack((values, values.conj()), -1)
        assert_close(found.real.sort(-1).values, expected.real.sort(-1).values, rtol=1e-4, atol=1e-4)
        assert_close(found.imag.sort(-1).values, expected.imag.sort(-1).values, rtol=1e-4, atol=1e-4)


def test_modes_are_ordered_by_the_named_part_of_their_eigenvalue():
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


def drawn(seed, noise=1.0, base=None):
    """Spectra of two levels: random, or those of `base` with noise."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for level, shape in {"fine": (8, 8, 8), "coarse": (8, 4, 4)}.items():
        own = torch.complex(*torch.randn(2, *shape, generator=draw))
        found[level] = own if base is None else base[level] + noise * own
    return found


def test_identical_spectra_agree_wholly_and_independent_ones_lie_within_the_null():
    first, generator = drawn(0), torch.Generator().manual_seed(9)
    same = agreement_test(first, first, "alpha", generator=generator, draws=200)
    assert same.mean == pytest.approx(1.0) and same.p_value == pytest.approx(1 / 201)
    found = [agreement_test(first, drawn(k), "alpha", generator=generator, draws=200) for k in range(1, 21)]
    assert max(abs(test.mean) for test in found) < 4 * float(same.null.std())
    assert sum(test.p_value < 0.05 for test in found) <= 4  # one in twenty is expected
    near = agreement_test(first, drawn(1, noise=0.5, base=first), "alpha", generator=generator, draws=200)
    assert 0.7 < near.mean < 0.95 and near.p_value == pytest.approx(1 / 201)


def test_the_null_has_the_spread_that_spearmans_has_for_independent_modes():
    """Var rho = 1 / (N - 1), averaged over two levels of 512 and 128 modes."""
    test = agreement_test(drawn(0), drawn(1), "alpha", generator=torch.Generator().manual_seed(1), draws=2000)
    assert float(test.null.std()) == pytest.approx(math.sqrt(1 / 511 + 1 / 127) / 2, rel=0.06)


def test_constant_operators_have_no_rank_correlation(make_net):
    still, moving = spectra(make_net(rates=0)), spectra(make_net())
    test = agreement_test(still, moving, "alpha", generator=torch.Generator(), draws=100)
    assert math.isnan(test.mean) and test.p_value == 1.0


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
