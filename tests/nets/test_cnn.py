"""The small feature network: shapes, determinism, and the images that it refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from hkd.nets.cnn import FeatureCNN


def network(**changes):
    arguments = {"width": 4, "image_size": 12, "heads": {"class": 4, "centre": 2}, "seed": 0}
    return FeatureCNN(**(arguments | changes)).eval()


def levels(count=2, size=12, seed=0):
    return 255 * torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_features_and_heads_have_their_sizes():
    net = network(features=10)
    assert net.features(levels()).shape == (2, 10)
    assert {name: tuple(value.shape) for name, value in net(levels()).items()} == {"class": (2, 4), "centre": (2, 2)}
    assert network().features(levels()).shape == (2, 64)


@settings(max_examples=15, deadline=None)
@given(st.integers(8, 33))
def test_maps_exist_at_any_size_from_8_pixels(size):
    maps = network().maps(levels(size=size))
    assert [m.shape[1] for m in maps] == [4, 8, 16]
    assert [m.shape[-1] for m in maps] == [size, size // 2, size // 4]


def test_gradients_of_maps_reach_every_pixel():
    x = levels(size=16).requires_grad_()
    sum(m.square().sum() for m in network().maps(x)).backward()
    assert (x.grad != 0).float().mean() > 0.99


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"expected images \(3, 12, 12\), found \(3, 16, 16\); resize"):
        network().features(levels(size=16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width: expected at least 1, found 0"),
        ({"image_size": 7}, "image_size: expected at least 8, found 7"),
        ({"heads": {"class": 0}}, "heads.class: expected at least 1, found 0"),
        ({"features": 0}, "features: expected at least 1, found 0"),
    ],
)
def test_impossible_sizes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        network(**change)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    first = network().state_dict()
    torch.manual_seed(6)
    assert_close(network().state_dict(), first, atol=0, rtol=0)
    assert not torch.equal(network(seed=1).penultimate.weight, first["penultimate.weight"])


def test_an_image_does_not_depend_on_its_batch_in_evaluation():
    net, x = network(), levels(4)
    assert_close(torch.cat([net.features(x[i : i + 1]) for i in range(4)]), net.features(x), atol=1e-5, rtol=1e-4)


def test_features_depend_on_positions():
    x = torch.full((2, 3, 12, 12), 127.5)
    x[0, :, 1:5, 1:5] = x[1, :, 7:11, 7:11] = 255.0
    first, second = network().train().features(x)
    assert (first - second).norm() > 0.1 * first.norm()


def test_it_learns_to_distinguish_bright_from_dark():
    net = network(heads={"bright": 2}).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    bright = torch.arange(32) % 2
    x = levels(32) * 0.3 + 150 * bright[:, None, None, None]
    for _ in range(15):
        loss = torch.nn.functional.cross_entropy(net(x)["bright"], bright)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1
