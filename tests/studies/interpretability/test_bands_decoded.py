"""The analysis of a spectrum: shares that add up, bands that cover the whole, batches that do not matter."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.bands import TERTILES
from hkd.studies.interpretability.bands_decoded import decoder, encoded, groups_over_time, spectral_analysis

EPS, T = 0.002, 80.0


@pytest.fixture
def analyse(make_net, noise):
    def made(net=None, batch=4, edges=TERTILES, **settings):
        return spectral_analysis(
            net or make_net(**settings),
            T * noise,
            order_by="alpha",
            ascending=True,
            edges=edges,
            times=5,
            substitutes=("zero", "mean"),
            batch=batch,
        )

    return made


def test_shares_of_bands_add_up_to_one_at_every_time(analyse):
    found = analyse()
    assert found.energy.shape == (4, 5, 3)
    assert_close(found.energy.sum(-1), torch.ones(4, 5))
    for part in found.substituted.values():
        assert_close(part.contribution.sum(-1), torch.ones(5))
        assert bool((part.leave_one_out.diff(dim=0) >= 0).all())  # a sum of what is lost
        assert part.images.shape == (3, 4, 3, 8, 8)


def test_times_run_from_T_to_eps_in_equal_steps_of_mapped_time(analyse, make_net):
    net = make_net()
    found = analyse(net)
    assert (found.sigmas[0], found.sigmas[-1]) == (T, EPS)
    steps = net.time(found.sigmas).diff()
    assert_close(steps, steps.mean().expand(4))


def test_a_single_band_is_the_whole_image(analyse):
    found = analyse(edges=())
    for part in found.substituted.values():
        assert_close(part.images[0], found.images)
        assert_close(part.power[0], found.power)


def test_an_operator_of_zero_has_all_of_its_modes_in_the_first_band(analyse, make_net):
    found = analyse(make_net(rates=0))
    zero = found.substituted["zero"]
    assert_close(zero.images[0], found.images)
    assert_close(zero.contribution, torch.tensor([[1.0, 0.0, 0.0]]).expand(5, 3))
    assert all(not bool(band.any()) for band in found.bands.values())


def test_the_batch_size_does_not_matter(analyse, make_net):
    net = make_net()
    whole, parts = analyse(net), analyse(net, batch=3)
    assert_close(whole.energy, parts.energy)
    assert_close(whole.substituted["mean"].images, parts.substituted["mean"].images, rtol=1e-4, atol=1e-4)
    assert_close(whole.substituted["mean"].contribution, parts.substituted["mean"].contribution, rtol=1e-3, atol=1e-4)


def test_the_whole_image_is_the_one_step_sample(analyse, make_net, noise):
    net = make_net()
    assert_close(analyse(net).images, net(T * noise, T).detach(), rtol=1e-4, atol=1e-4)


def test_a_conditional_network_gets_every_image_its_own_class(make_net, noise):
    net, labels = make_net(label_dim=3), torch.eye(3)[[0, 1, 2, 0]]
    with torch.no_grad():
        latents = net.evolve(encoded(net, T * noise, labels, 3), T, EPS)
        images = decoder(net, T * noise, labels, 3, EPS)(latents)
        assert_close(images, net(T * noise, T, labels), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("levels, latents", [("bottleneck_only", 1), ("per_resolution", 4)])
def test_levels_without_an_operator_have_no_energy_to_show(analyse, levels, latents):
    found = analyse(levels=levels)
    assert len(found.latents) == len(found.energy) == latents
    assert not bool(found.energy.isnan().any())


def test_the_papers_groups_are_by_the_magnitude_of_the_real_part_at_every_time(make_net, noise):
    """Quarters of the modes by |alpha|: together they are the whole latent, and each is decoded alone."""
    net, x = make_net(), 80.0 * noise
    sigmas, shown = groups_over_time(net, x, groups=4, moments=3, batch=3)
    assert sigmas.tolist() == pytest.approx([80.0, net.time.middle(), 0.002])
    assert shown.shape == (3, 5, 4, 3, 8, 8)
    for sigma, at in zip(sigmas.tolist(), shown, strict=True):
        state = net.evolve(net.encode(x, 80.0), 80.0, sigma)
        assert_close(at[0], net.decode(state, x=x, sigma=80.0, latent_sigma=sigma), rtol=1e-4, atol=1e-4)
        kept = []
        for operator, z in zip(net.operators(), state, strict=True):
            key = operator.eigenvalues().real.abs()
            kept.append(operator.project(z, key >= key.flatten().sort().values[key.numel() * 3 // 4]))
        largest = net.decode(kept, x=x, sigma=80.0, latent_sigma=sigma)
        assert_close(at[4], largest.detach(), rtol=1e-4, atol=1e-4)
