"""A small HKD network whose weights were moved, so that nothing is zero by initialisation."""

from __future__ import annotations

import pytest
import torch

from hkd.koopman.choices import KoopmanSettings
from hkd.koopman.hierarchy import HKDNet
from hkd.nets.precond import EDMPrecond
from hkd.nets.unet import SongUNet

EPS, T = 0.002, 80.0


def unet(label_dim=0, augment_dim=0, resolution=8):
    return SongUNet(
        resolution,
        3,
        3,
        label_dim=label_dim,
        augment_dim=augment_dim,
        model_channels=8,
        channel_mult=(1, 2),
        num_blocks=1,
        attn_resolutions=(),
        dropout=0.0,
    )


def moved(module, seed=0, scale=0.1):
    """Add noise to every parameter."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=draw))
    return module


@pytest.fixture
def make_net():
    def build(*, rates=0.3, per_span=True, label_dim=0, **settings):
        """A network with rates of about `rates`, by default per s(T); 0 leaves A at zero."""
        torch.manual_seed(0)
        settings = KoopmanSettings(**{"sigma_min": EPS, "sigma_max": T, "time_map": "rho", **settings})
        net = HKDNet(moved(EDMPrecond(unet(label_dim))), settings).eval()
        if net.decoder_mapping is not None:
            moved(net.decoder_mapping, seed=1)
        if rates and not settings.frozen:
            moved(net.koopman, seed=2, scale=rates / (net.time.span if per_span else 1))
        return net

    return build


@pytest.fixture
def noise():
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(5))
