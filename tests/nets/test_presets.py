"""The `network` section: what it accepts, what it refuses, and what is built from it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from hkd.nets.assemble import build
from hkd.nets.presets import PRECONDITIONERS, PRESETS, NetworkConfig

SECTION = {
    "preset": "ddpmpp",
    "precond": "edm",
    "model_channels": 8,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "attn_resolutions": [4],
    "dropout": 0.1,
}
SHAPE = {"resolution": 8, "channels": 3, "label_dim": 2}


def network(seed=0, **changes):
    return build(NetworkConfig(**(SECTION | changes)), **SHAPE, seed=seed)


def test_lists_become_tuples():
    config = NetworkConfig(**SECTION)
    assert (config.channel_mult, config.attn_resolutions) == ((1, 2), (4,))
    assert hash(config) == hash(NetworkConfig(**SECTION))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("preset", "vp", "expected one of ddpmpp, ncsnpp, adm, ddpm, kdm, found 'vp'"),
        ("precond", "iddpm", "expected one of edm, consistency, vp, ve, none, found 'iddpm'"),
        ("model_channels", 0, "expected a positive integer, found 0"),
        ("model_channels", 18, "expected a multiple of 4"),
        ("model_channels", "16", "expected a positive integer, found '16'"),
        ("model_channels", True, "expected a positive integer, found True"),
        ("channel_mult", [], "expected one multiplier per level"),
        ("channel_mult", [1, 0], "expected positive integers"),
        ("channel_mult", 2, "expected a list of integers, found 2"),
        ("attn_resolutions", [8.0], "expected a list of integers"),
        ("num_blocks", 1.5, "expected a positive integer"),
        ("dropout", 1, r"expected a probability in \[0, 1\), found 1"),
        ("label_dropout", -0.1, "expected a probability"),
        ("augment_dim", -1, "expected 0 or a positive integer"),
        ("channel_mult_emb", 0, "expected a positive integer"),
        ("fourier_scale", 0.0, "expected a positive number"),
        ("sigma_data", -0.5, "expected a positive number"),
        ("sigma_min", None, "expected a positive number, found None"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_key(key, value, message):
    with pytest.raises(ValueError, match=rf"^network\.{key}: {message}"):
        NetworkConfig(**(SECTION | {key: value}))


def test_ddpm_refuses_settings_that_it_lacks():
    with pytest.raises(ValueError, match=r"^network\.preset: 'ddpm' takes neither"):
        NetworkConfig(**(SECTION | {"preset": "ddpm", "augment_dim": 9}))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_images_from_images(preset):
    net = network(preset=preset, precond="none", model_channels=64)
    x = torch.randn(2, 3, 8, 8)
    assert net(x, torch.tensor([0.1, 0.2]), torch.eye(2)).shape == x.shape
    assert (net.img_resolution, net.img_channels, net.label_dim) == (8, 3, 2)


@pytest.mark.parametrize("precond", PRECONDITIONERS)
def test_every_preconditioner_wraps_the_network(precond):
    net = network(precond=precond)
    x = torch.randn(2, 3, 8, 8)
    assert net(x, torch.tensor([0.1, 0.2]), torch.eye(2)).shape == x.shape
    assert hasattr(net, "model") is (precond != "none")


def test_presets_differ_as_published():
    vp, ve = network().model, network(preset="ncsnpp", fourier_scale=0.02).model
    assert vp.state_dict()["enc.4x4_down.conv0.resample_filter"].shape == (1, 1, 2, 2)
    assert ve.state_dict()["enc.4x4_down.conv0.resample_filter"].shape == (1, 1, 4, 4)
    assert vp.map_layer0.in_features == 8 and ve.map_layer0.in_features == 16
    assert ve.map_noise.freqs.abs().max() < 0.1


def test_constants_reach_the_preconditioner():
    net = network(precond="consistency", sigma_data=0.4, sigma_min=0.003)
    assert (net.sigma_data, net.sigma_min) == (0.4, 0.003)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first, state = network(), torch.get_rng_state()
    torch.manual_seed(2)
    again, other = network(), network(seed=1)
    assert_close(again.state_dict(), first.state_dict(), atol=0, rtol=0)
    assert not torch.equal(other.model.map_layer0.weight, first.model.map_layer0.weight)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_settings_are_checked_without_loading_torch():
    code = "import sys; from hkd.nets.presets import NetworkConfig; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
