"""Bands split the modes of every level, and their contributions add up."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.bands import (
    band_of,
    band_shares,
    bands,
    decoded_contributions,
    energy_shares,
    leave_one_out,
    matched,
    permuted,
    project,
    swap,
    swap_energies,
)

EPS, T = 0.002, 80.0
COUPLINGS = pytest.mark.parametrize("coupling", ["none", "fourier"])


def test_modes_are_sorted_and_cut_at_the_edges():
    values = torch.tensor([5.0, -3.0, 1.0, 0.0, -1.0, 2.0]).to(torch.complex64)
    assert band_of(values, "alpha", ascending=True).tolist() == [2, 0, 1, 1, 0, 2]
    assert band_of(values, "alpha", ascending=False).tolist() == [0, 2, 1, 1, 2, 0]
    assert band_of(values, "abs_alpha", ascending=True, edges=[0.5]).tolist() == [1, 1, 0, 0, 0, 1]


def test_equal_modes_share_a_band():
    assert band_of(torch.zeros(9, dtype=torch.complex64), "alpha", ascending=True).tolist() == [0] * 9


@pytest.mark.parametrize("edges", [[0.0], [0.6, 0.4], [1.0]])
def test_impossible_edges_are_refused(edges):
    with pytest.raises(ValueError, match="edges: must increase"):
        band_of(torch.zeros(3, dtype=torch.complex64), "alpha", ascending=True, edges=edges)


@COUPLINGS
def test_tertiles_of_every_level_are_of_equal_size(make_net, coupling):
    net = make_net(coupling=coupling)
    for index in bands(net.operators(), "alpha", ascending=True):
        share = index.flatten().bincount(minlength=3) / index.numel()
        assert (share - 1 / 3).abs().max() < 0.1


@COUPLINGS
@pytest.mark.parametrize("substitute", ["zero", "mean"])
def test_projections_on_all_bands_add_up(make_net, noise, coupling, substitute):
    net = make_net(coupling=coupling)
    operators, latents = net.operators(), net.encode(T * noise, T)
    index = bands(operators, "alpha", ascending=True)
    parts = [project(operators, latents, index, band, substitute) for band in range(3)]
    for i, z in enumerate(latents):
        centre = z.mean(0, keepdim=True) if substitute == "mean" else 0
        assert_close(sum(part[i] - centre for part in parts) + centre, z, rtol=1e-4, atol=1e-4)
        assert_close(project(operators, latents, index, [0, 1, 2], substitute)[i], z, rtol=1e-4, atol=1e-4)


@COUPLINGS
def test_projection_commutes_with_the_flow(make_net, noise, coupling):
    net = make_net(coupling=coupling)
    operators, latents = net.operators(), net.encode(T * noise, T)
    index = bands(operators, "abs_eig", ascending=True)
    before = net.evolve(project(operators, latents, index, 1), T, EPS)
    after = project(operators, net.evolve(latents, T, EPS), index, 1)
    for a, b in zip(before, after, strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_latents_without_an_operator_pass_unchanged(make_net, noise):
    net = make_net(levels="bottleneck_only")
    latents = net.encode(T * noise, T)
    index = bands(net.operators(), "alpha", ascending=True)
    assert [band is None for band in index] == [True] * (len(latents) - 1) + [False]
    kept = project(net.operators(), latents, index, 0)
    assert all(a is b for a, b in zip(kept[:-1], latents[:-1], strict=True))
    assert not torch.equal(kept[-1], latents[-1])


def test_swapping_every_band_exchanges_the_latents(make_net, noise):
    net = make_net()
    hosts, donors = net.encode(T * noise, T), net.encode(T * noise.flip(0), T)
    index = bands(net.operators(), "alpha", ascending=True)
    mixed = hosts
    for band in range(3):
        mixed = swap(net.operators(), mixed, donors, index, band)
    for a, b in zip(mixed, donors, strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_permutation_keeps_the_sizes_of_bands(make_net):
    index = bands(make_net().operators(), "alpha", ascending=True)
    shuffled = permuted(index, torch.Generator().manual_seed(0))
    for a, b in zip(index, shuffled, strict=True):
        assert not torch.equal(a, b)
        assert torch.equal(a.flatten().bincount(), b.flatten().bincount())


@COUPLINGS
def test_energy_shares_are_those_of_the_evolved_latents(make_net, noise, coupling):
    net = make_net(coupling=coupling, rates=2.0)
    operators, latents = net.operators(), net.encode(T * noise, T)
    index = bands(operators, "alpha", ascending=True)
    sigmas = [T, 3.0, EPS]
    shares = energy_shares(operators, latents, index, [net.time(s) - net.time(T) for s in sigmas], 3)
    for k, sigma in enumerate(sigmas):
        moved = net.evolve(latents, T, sigma)
        for operator, z, band, share in zip(operators, moved, index, shares, strict=True):
            energy = operator.energy(z).flatten(1)
            expected = torch.stack([energy[:, band.flatten() == b].sum(1) for b in range(3)], 1)
            assert_close(share[k], (expected / energy.sum(1, keepdim=True)).mean(0).detach(), rtol=1e-3, atol=1e-3)


def test_growing_modes_take_over_the_energy(make_net, noise):
    """With time running backwards the lowest alpha grows most."""
    net = make_net(rates=2.0)
    index = bands(net.operators(), "alpha", ascending=True)
    steps = [0.0, -0.5 * net.time.span, -net.time.span]
    for share in energy_shares(net.operators(), net.encode(T * noise, T), index, steps, 3):
        assert share[0, 0] < share[1, 0] < share[2, 0]
        assert_close(share.sum(1), torch.ones(3))


def test_contributions_of_a_linear_decoder_are_the_energy_of_bands(make_net, noise):
    net = make_net()
    operators, latents = net.operators(), net.encode(T * noise, T)
    index = bands(operators, "alpha", ascending=True)

    def decode(z):
        return torch.cat([part.flatten(1) for part in z], dim=1).detach()

    shares = decoded_contributions(operators, [latents, latents], index, decode, 3)
    parts = [decode(project(operators, latents, index, band)).square().sum(1) for band in range(3)]
    assert_close(shares[0], torch.stack([part / sum(parts) for part in parts], 1).mean(0))
    dropped = leave_one_out(operators, [latents, latents], index, decode, 3)
    assert_close(dropped[1], 2 * dropped[0])
    assert_close(
        dropped[0] * decode(latents).shape[1], torch.stack([part.mean() for part in parts]), rtol=1e-4, atol=1e-4
    )


def test_unknown_substitute_is_refused(make_net, noise):
    net = make_net()
    latents = net.encode(noise, 1.0)
    with pytest.raises(ValueError, match="substitute: 'noise' is not one of"):
        project(net.operators(), latents, bands(net.operators(), "alpha", ascending=True), 0, "noise")


def test_a_matched_null_keeps_size_and_energy_of_every_band_and_little_else(make_net, noise):
    """Bands by |alpha| of latents whose strong modes lie in one band: a bare permutation would even them out."""
    net = make_net()
    operators, hosts = net.operators(), net.encode(T * noise, T)
    index = bands(operators, "abs_alpha", ascending=True)
    weight = [1 + 4 * (band == 2).float() for band in index]
    donors = [h + torch.cat((w, w))[None] * torch.randn(h.shape, generator=torch.Generator().manual_seed(3))
              for h, w in zip(hosts, weight, strict=True)]  # fmt: skip
    energies = swap_energies(operators, hosts, donors)
    own = band_shares(index, energies, 3)
    assert own[2] > 0.8
    draw = torch.Generator().manual_seed(0)
    null, bare = matched(index, energies, draw), permuted(index, draw)
    assert (band_shares(bare, energies, 3)[2] - 1 / 3).abs() < 0.1
    assert_close(band_shares(null, energies, 3), own, rtol=0.06, atol=1e-3)
    for before, after, energy in zip(index, null, energies, strict=True):
        assert before.flatten().bincount(minlength=3).tolist() == after.flatten().bincount(minlength=3).tolist()
        assert_close(band_shares([after], [energy], 3), band_shares([before], [energy], 3), rtol=0.12, atol=0.02)
        assert (before != after).float().mean() > 0.2
    again = matched(index, energies, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(again, null, strict=True))


def squares(band, energy, wanted):
    """Sum of squared differences of three bands' energies from those wanted."""
    return sum((float(energy[band == k].sum()) - wanted[k]) ** 2 for k in range(3))


@pytest.mark.parametrize("factor", [1, 2, 5])
@pytest.mark.parametrize("seed", range(6))
def test_a_matched_null_has_the_energies_within_the_tolerance_where_bands_overlap(factor, seed):
    draw = torch.Generator().manual_seed(seed)
    band = torch.arange(300) % 3
    energy = -torch.rand(300, generator=draw, dtype=torch.float64).log() * torch.where(band == 2, factor, 1)
    (found,) = matched([band], [energy], draw, tolerance=0.02)
    for k in range(3):
        own = float(energy[band == k].sum())
        assert abs(float(energy[found == k].sum()) - own) <= 0.02 * own
    assert found.bincount().tolist() == [100, 100, 100] and float((found != band).float().mean()) > 0.2


@pytest.mark.parametrize("seed", range(6))
def test_a_matched_null_is_never_further_from_the_energies_than_the_bare_one(seed):
    """The strongest third is a band: no other modes have its energy."""
    energy = -torch.rand(60, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).log()
    band = energy.argsort().argsort() // 20
    wanted = [float(energy[band == k].sum()) for k in range(3)]
    (found,), (bare,) = (
        made(*what, torch.Generator().manual_seed(seed))
        for made, what in ((matched, ([band], [energy])), (permuted, ([band],)))
    )
    assert squares(found, energy, wanted) < 0.1 * squares(bare, energy, wanted)
    assert found.bincount().tolist() == [20, 20, 20]


def test_latents_without_bands_have_none_under_a_matched_null():
    band, energy = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = matched([None, band], [None, energy], torch.Generator().manual_seed(0))
    assert found[0] is None and sorted(found[1].tolist()) == [0, 0, 1, 1]
    assert_close(band_shares([None, band], [None, energy], 2), torch.tensor([0.3, 0.7], dtype=torch.float64))
