"""Editing blends the chosen band in the chosen region and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.bands import bands
from hkd.studies.editing.blend import (
    REGIONS,
    blend,
    edit,
    edit_metrics,
    reference_latents,
    region_mask,
    regional_distance,
)

EPS, T = 0.002, 80.0


@pytest.mark.parametrize(
    ("region", "share", "inside", "outside"),
    [
        ("lower_left_triangle", 0.5, (7, 0), (0, 7)),
        ("lower_half", 0.5, (7, 7), (0, 0)),
        ("lower_left_quadrant", 0.25, (7, 0), (7, 7)),
    ],
)
def test_regions_cover_their_part_of_every_grid(region, share, inside, outside):
    mask = region_mask(region, 8, 8)
    assert mask[inside]
    assert not mask[outside]
    assert abs(region_mask(region, 64, 64).float().mean() - share) < 0.01
    assert region_mask(region, 1, 1).shape == (1, 1)


@pytest.fixture
def pair(make_net, noise):
    net = make_net()
    return net, T * noise, T * noise.flip(0)


@pytest.mark.parametrize("region", REGIONS)
def test_blending_changes_only_the_region(pair, region):
    net, x, other = pair
    latents, reference = net.encode(x, T), net.encode(other, T)
    index = bands(net.operators(), "alpha", ascending=True)
    for band in (None, 2):
        mixed = blend(net.operators(), latents, reference, ratio=0.4, region=region, index=index, band=band)
        for a, z, z_ref in zip(mixed, latents, reference, strict=True):
            mask = region_mask(region, *z.shape[-2:])
            assert torch.equal(a[..., ~mask], z[..., ~mask])
            if band is None:
                assert_close(a[..., mask], (0.6 * z + 0.4 * z_ref)[..., mask])


def test_blending_a_band_leaves_the_other_bands(pair):
    net, x, other = pair
    latents, reference = net.encode(x, T), net.encode(other, T)
    index = bands(net.operators(), "alpha", ascending=True)
    mixed = blend(net.operators(), latents, reference, ratio=1.0, region="lower_half", index=index, band=2)
    for operator, a, z, band in zip(net.operators(), mixed, latents, index, strict=True):
        assert_close(operator.project(a, band != 2), operator.project(z, band != 2))
        assert (operator.project(a - z, band == 2)).any()


def test_ratio_zero_is_the_one_step_image_and_full_blend_everywhere_is_the_reference(pair):
    net, x, other = pair
    reference = reference_latents(net, other, net.time.middle())
    images = edit(net, x, reference, ratios=[0.0, 0.9], region="lower_half")
    assert images.shape == (2, *x.shape)
    assert_close(images[0], net(x, T), rtol=1e-3, atol=1e-4)
    latents = net.evolve(net.encode(x, T), T, net.time.middle())
    for a, b in zip(blend(net.operators(), latents, reference, ratio=1.0, region="lower_half"), reference, strict=True):
        mask = region_mask("lower_half", *a.shape[-2:])
        assert_close(a[..., mask], b[..., mask], rtol=1e-4, atol=1e-5)


def test_a_real_reference_is_encoded_with_noise_at_the_middle(pair, noise):
    net, *_ = pair
    image = noise.clamp(-1, 1)
    expected = net.encode(image + 3.0 * noise, 3.0)
    for a, b in zip(reference_latents(net, image, 3.0, noise=noise), expected, strict=True):
        assert torch.equal(a, b)


def test_metrics_tell_inside_from_outside():
    original, reference = torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)
    edited = original.clone()
    edited[..., 4:, :] = 0.75
    metrics = edit_metrics(edited, original, reference, "lower_half")
    assert [float(value[0]) for value in metrics] == pytest.approx([0.75, 0.25, 0.0, 1.0])

    def distance(a, b):
        return (a - b).abs().mean((1, 2, 3))

    inside = regional_distance(distance, edited, original, "lower_half", inside=True)
    outside = regional_distance(distance, edited, original, "lower_half", inside=False)
    assert_close(inside, torch.full((2,), 0.375))
    assert_close(outside, torch.zeros(2))


def test_impossible_requests_are_refused(pair):
    net, x, _ = pair
    latents = net.encode(x, T)
    with pytest.raises(ValueError, match="region: 'left' is not one of"):
        region_mask("left", 8, 8)
    with pytest.raises(ValueError, match=r"ratio: must lie in \[0, 1\], got 1.5"):
        blend(net.operators(), latents, latents, ratio=1.5, region="lower_half")
    with pytest.raises(ValueError, match="band: 2 needs the bands"):
        blend(net.operators(), latents, latents, ratio=0.5, region="lower_half", band=2)
