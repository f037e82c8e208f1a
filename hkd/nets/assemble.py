"""Build the network that a `network` section describes, with freshly drawn weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hkd.seeding import address

if TYPE_CHECKING:
    from torch import nn

    from hkd.nets.presets import NetworkConfig


# what sets DDPM++ and NCSN++ apart; Source: Karras et al. (2022), Appendix F.2
_SONG: dict[str, dict[str, Any]] = {
    "ddpmpp": {
        "embedding_type": "positional",
        "encoder_type": "standard",
        "channel_mult_noise": 1,
        "resample_filter": (1, 1),
    },
    "ncsnpp": {
        "embedding_type": "fourier",
        "encoder_type": "residual",
        "channel_mult_noise": 2,
        "resample_filter": (1, 3, 3, 1),
    },
}


def build(config: NetworkConfig, *, resolution: int, channels: int, label_dim: int, seed: int = 0) -> nn.Module:
    """Return the network in its preconditioning, its weights drawn from the stream (seed, "network").

    Args:
        resolution: of the square images, in pixels.
        channels: of the images.
        label_dim: number of classes; 0 for an unconditional network.

    Raises:
        ValueError: if the levels do not fit the resolution or the widths cannot be normalised.
    """
    import torch

    with torch.random.fork_rng(devices=[]):  # layers draw from the global generator, whose state is put back
        torch.default_generator.manual_seed(address(seed, "network"))
        return _wrapped(_bare(config, resolution, channels, label_dim), config)


def _bare(config: NetworkConfig, resolution: int, channels: int, label_dim: int) -> nn.Module:
    from hkd.nets.ddpm_unet import DDPMUNet
    from hkd.nets.kdm import KDMNet
    from hkd.nets.unet import DhariwalUNet, SongUNet

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
    if config.preset == "ddpm":
        return DDPMUNet(**size)
    size |= {"augment_dim": config.augment_dim, "label_dropout": config.label_dropout}
    if config.preset == "adm":
        return DhariwalUNet(**size)
    if config.preset == "kdm":
        del size["in_channels"], size["out_channels"]
        return KDMNet(**size, img_channels=channels, latent_size=config.latent_size, **_SONG["ddpmpp"])
    return SongUNet(**size, **_SONG[config.preset], fourier_scale=config.fourier_scale)


def _wrapped(model: nn.Module, config: NetworkConfig) -> nn.Module:
    from hkd.nets.precond import ConsistencyPrecond, EDMPrecond, VEPrecond, VPPrecond

    match config.precond:
        case "edm":
            return EDMPrecond(model, config.sigma_data)
        case "consistency":
            return ConsistencyPrecond(model, config.sigma_data, config.sigma_min)
        case "vp":
            return VPPrecond(model)
        case "ve":
            return VEPrecond(model)
        case _:
            return model
