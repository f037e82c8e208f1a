"""The network that a `network` section describes, freshly drawn."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hkd.nets.presets import PRESETS, NetworkConfig
from hkd.seeding import address

if TYPE_CHECKING:
    from torch import nn


def build(config: NetworkConfig, *, resolution: int, channels: int, label_dim: int, seed: int = 0) -> nn.Module:
    """Return the network, freshly drawn from the stream (seed, "network"), in its preconditioning.

    Args:
        resolution: of the square images, in pixels.
        channels: of the images.
        label_dim: number of classes; 0 for an unconditional network.

    Raises:
        ValueError: if the levels do not fit the resolution or the widths cannot be normalised.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(address(seed, "network"))
        return _wrapped(_bare(config, resolution, channels, label_dim), config)


def _bare(config: NetworkConfig, resolution: int, channels: int, label_dim: int) -> nn.Module:
    size: dict[str, Any] = {
        "img_resolution": resolution,
        "in_channels": channels,
        "out_channels": channels,
        "label_dim": label_dim,
        "model_channels": config.model_channels,
        "channel_mult": config.channel_mult,
        "channel_mult_emb": config.channel_mult_emb,
        "num_blocks": config.num_blocks,
        "attn_resolutions": config.attn_resolutions,
        "dropout": config.dropout,
    }
    made: nn.Module = importlib.import_module(PRESETS[config.preset]).from_config(config, size)
    return made


def _wrapped(model: nn.Module, config: NetworkConfig) -> nn.Module:
    from hkd.nets.precond import ConsistencyPrecond, EDMPrecond, VEPrecond, VPPrecond

    match config.precond:
        case "edm":
            return EDMPrecond(model, config.sigma_data, config.noise_scale)
        case "consistency":
            return ConsistencyPrecond(model, config.sigma_data, config.sigma_min, config.noise_scale)
        case "vp":
            return VPPrecond(model)
        case "ve":
            return VEPrecond(model)
        case _:
            return model
