"""DDPM's U-Net: its published size, and the ways in which it differs from those of EDM."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from hkd.nets.ddpm_unet import DDPMUNet, Downsample

SMALL = {
    "img_resolution": 16,
    "in_channels": 3,
    "out_channels": 3,
    "model_channels": 16,
    "channel_mult": (1, 2),
    "attn_resolutions": (8,),
}


def perturbed(**more):
    """A network whose last layers are not nearly zero."""
    torch.manual_seed(0)
    net = DDPMUNet(**SMALL, **more).eval()
    for p in net.parameters():
        p.data += 0.05 * torch.randn_like(p)
    return net


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in DDPMUNet(32, 3, 3).parameters()) == 35_746_307


def test_downsampling_pads_right_and_below():
    down = Downsample(4)
    x = torch.randn(1, 4, 6, 6)
    found = down(x)
    window = x[0, :, 2:5, 2:5]  # of output (1, 1)
    assert found.shape == (1, 4, 3, 3)
    assert_close(found[0, :, 1, 1], (down.conv.weight * window).sum((1, 2, 3)), atol=1e-5, rtol=1e-5)
    corner = F.pad(x[0, :, 4:, 4:], (0, 1, 0, 1))  # of output (2, 2)
    assert_close(found[0, :, 2, 2], (down.conv.weight * corner).sum((1, 2, 3)), atol=1e-5, rtol=1e-5)


def test_attention_is_where_it_was_asked_for_and_in_the_middle():
    net = DDPMUNet(**SMALL)
    having = {name.split(".attention")[0] for name in net.state_dict() if ".attention." in name}
    assert having == {f"enc.8x8_block{i}" for i in range(2)} | {f"dec.8x8_block{i}" for i in range(3)} | {"mid0"}


@pytest.mark.parametrize("label_dim", [0, 4])
def test_every_parameter_receives_a_gradient(label_dim):
    net = perturbed(label_dim=label_dim)
    labels = torch.eye(4)[[0, 2]] if label_dim else None
    y = net(torch.randn(2, 3, 16, 16), torch.tensor([3, 900]), labels)
    assert y.shape == (2, 3, 16, 16)
    y.square().sum().backward()
    blind = {name for name, p in net.named_parameters() if not p.grad.abs().max() > 0}
    assert blind == set()


def test_time_and_class_change_the_output():
    net = perturbed(label_dim=4)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([10, 10])
    labels = torch.eye(4)[[1, 1]]
    assert (net(x, t, labels) - net(x, t + 500, labels)).abs().max() > 1e-4
    assert (net(x, t, labels) - net(x, t)).abs().max() > 1e-4
    assert_close(net(x, t[:1], labels), net(x, t, labels), atol=1e-5, rtol=1e-4)


def test_whole_and_real_time_steps_agree():
    net = perturbed()
    x = torch.randn(1, 3, 16, 16)
    assert_close(net(x, torch.tensor([7])), net(x, torch.tensor([7.0])), atol=0, rtol=0)


def test_levels_that_do_not_fit_the_image_are_refused():
    with pytest.raises(ValueError, match="2 levels need a resolution divisible by 2, found 15"):
        DDPMUNet(**{**SMALL, "img_resolution": 15})
