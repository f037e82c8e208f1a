"""Restoration keeps what is known and generates what is missing."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.seeding import ImageStreams
from hkd.studies.inpainting.restore import LUMINANCE, colourise, inpaint, luminance_rotation, restore

SIGMAS, EPS = [80.0, 5.0, 0.5], 0.002


def gaussian_denoiser(mean, covariance):
    """The exact E[x_0 | x] of Gaussian data, pixels in one vector."""

    def f(x, sigma):
        noisy = covariance + sigma**2 * torch.eye(len(covariance))
        gain = torch.linalg.solve(noisy, covariance)
        return ((x.flatten(1) - mean) @ gain + mean).reshape(x.shape)

    return f


def streams(count=4, seed=0):
    return ImageStreams(seed, range(count)).randn


def test_known_pixels_stay_to_the_bit_and_missing_ones_do_not_leak():
    known = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    missing = torch.zeros(4, 4)
    missing[2:] = 1
    f = gaussian_denoiser(torch.zeros(48), torch.eye(48))
    restored = inpaint(f, known, missing, SIGMAS, streams(), sigma_min=EPS)
    assert torch.equal(restored[..., :2, :], known[..., :2, :])
    spoilt = known.clone()
    spoilt[..., 2:, :] = 100.0
    assert torch.equal(inpaint(f, spoilt, missing, SIGMAS, streams(), sigma_min=EPS), restored)


def test_missing_pixels_follow_the_known_ones_of_correlated_data():
    """All pixels of an image are nearly equal: the missing half must take the value of the known half."""
    pixels = 16
    covariance = 0.01 * torch.eye(pixels) + torch.ones(pixels, pixels)
    f = gaussian_denoiser(torch.zeros(pixels), covariance)
    known = torch.tensor([-0.8, -0.2, 0.3, 0.9]).reshape(4, 1, 1, 1).expand(4, 1, 4, 4)
    missing = torch.zeros(4, 4)
    missing[:, 2:] = 1
    sigmas = torch.logspace(1.9, -1.5, 30).tolist()
    restored = inpaint(f, known, missing, sigmas, streams(), sigma_min=EPS)
    assert (restored[..., 2:].mean((1, 2, 3)) - known[:, 0, 0, 0]).abs().max() < 0.15


def test_each_noise_level_costs_one_evaluation():
    calls = []
    f = lambda x, sigma: calls.append(sigma) or x.clamp(-1, 1)  # noqa: E731
    inpaint(f, torch.zeros(2, 1, 4, 4), torch.ones(4, 4), SIGMAS, streams(2), sigma_min=EPS)
    assert calls == SIGMAS


def test_an_image_is_restored_alike_in_any_batch():
    known = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    f = lambda x, sigma: x / (1 + sigma**2)  # noqa: E731
    together = inpaint(f, known, torch.eye(4), SIGMAS, streams(4), sigma_min=EPS)
    alone = inpaint(f, known[2:3], torch.eye(4), SIGMAS, ImageStreams(0, [2]).randn, sigma_min=EPS)
    assert torch.equal(together[2:3], alone)


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_generated_and_luminance_is_kept(channels):
    grey = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0)).expand(-1, channels, -1, -1)
    f = lambda x, sigma: (x + 0.5 * torch.tensor([1.0, -1.0, 0.0]).reshape(3, 1, 1)) / (1 + sigma)  # noqa: E731
    coloured = colourise(f, grey, SIGMAS, streams(), sigma_min=EPS)
    weights = torch.tensor(LUMINANCE) / sum(LUMINANCE)
    assert_close(torch.einsum("bchw,c->bhw", coloured, weights), grey[:, 0], rtol=1e-4, atol=1e-4)
    assert (coloured[:, 0] - coloured[:, 1]).abs().mean() > 0.1


def test_rotation_is_orthogonal_with_luminance_first():
    q = luminance_rotation()
    assert_close(q @ q.T, torch.eye(3, dtype=torch.float64))
    assert_close(q[:, 0], torch.tensor([0.4471, 0.8780, 0.1705], dtype=torch.float64), rtol=0, atol=1e-4)


def test_hkd_restores_in_its_own_one_step_map(make_net, noise):
    net = make_net(output_wrapper="edm")
    with torch.no_grad():
        restored = inpaint(net, noise.clamp(-1, 1), torch.eye(8), SIGMAS, streams(), sigma_min=EPS)
    assert torch.isfinite(restored).all()
    assert torch.equal(
        restored[..., ~torch.eye(8, dtype=torch.bool)], noise.clamp(-1, 1)[..., ~torch.eye(8, dtype=torch.bool)]
    )


@pytest.mark.parametrize("sigmas", [[], [1.0, 2.0], [1.0, 0.001]])
def test_impossible_noise_levels_are_refused(sigmas):
    with pytest.raises(ValueError, match="sigmas: must descend"):
        restore(lambda x, s: x, torch.zeros(1, 1, 2, 2), torch.ones(2, 2), sigmas, streams(1), sigma_min=EPS)


def test_masks_and_images_of_the_wrong_kind_are_refused():
    f = lambda x, sigma: x  # noqa: E731
    with pytest.raises(ValueError, match=r"mask: size \(4, 4\), but the images are \(8, 8\)"):
        inpaint(f, torch.zeros(1, 3, 8, 8), torch.zeros(4, 4), SIGMAS, streams(1), sigma_min=EPS)
    with pytest.raises(ValueError, match="grey: expected 1 or 3 channels, got 2"):
        colourise(f, torch.zeros(1, 2, 8, 8), SIGMAS, streams(1), sigma_min=EPS)
