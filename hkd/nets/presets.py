"""The `network` section of a run's settings, and the network it describes.

Importing this module does not import torch, so that settings can be checked at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PRESETS = {  # the module that builds each; only that one's code defines a run
    "ddpmpp": "hkd.nets.unet",
    "ncsnpp": "hkd.nets.unet",
    "adm": "hkd.nets.unet",
    "ddpm": "hkd.nets.ddpm_unet",
    "kdm": "hkd.nets.kdm",
}
PRECONDITIONERS = ("edm", "consistency", "vp", "ve", "none")


@dataclass(frozen=True)
class NetworkConfig:
    """Size and kind of a U-Net.

    Attributes:
        preset: the published architecture: `ddpmpp` and `ncsnpp` (EDM's VP and VE), `adm`,
            `ddpm` (DDPM's own), or `kdm` (KDM's three U-Nets).
        precond: the wrapper that makes the network a function of image and noise level; `none` leaves it bare.
        model_channels: width that `channel_mult` multiplies, level by level from the finest.
        num_blocks: residual blocks per level of the encoder; the decoder has one more.
        attn_resolutions: resolutions, in pixels, whose blocks have self-attention.
        dropout: probability, in every residual block.
        label_dropout: probability of hiding a class label in training.
        augment_dim: length of the augmentation label that the network takes; 0 for none, 9 for EDM's.
        channel_mult_emb: width of the conditioning vector, in units of `model_channels`.
        fourier_scale: standard deviation of the frequencies of `ncsnpp`'s noise-level embedding.
        sigma_data: standard deviation of the data, for `edm` and `consistency`.
        sigma_min: noise level at which `consistency` is the identity.
        noise_scale: what `edm` and `consistency` multiply ln(sigma) / 4 by before the network is told it: 1000 for the
            networks of Consistency Models' PyTorch code.
        latent_size: of `kdm`, the numbers that a latent is projected to; None for a plane of the image's size.

    Raises:
        ValueError: naming the key, for a value that no network can have.
    """

    preset: str
    precond: str
    model_channels: int
    channel_mult: tuple[int, ...]
    num_blocks: int
    attn_resolutions: tuple[int, ...]
    dropout: float
    label_dropout: float = 0.0
    augment_dim: int = 0
    channel_mult_emb: int = 4
    fourier_scale: float = 16.0
    sigma_data: float = 0.5
    sigma_min: float = 0.002
    noise_scale: float = 1.0
    latent_size: int | None = None

    def __post_init__(self) -> None:
        for key in ("channel_mult", "attn_resolutions"):
            object.__setattr__(self, key, _integers(key, getattr(self, key)))
        _choose("preset", self.preset, tuple(PRESETS))
        _choose("precond", self.precond, PRECONDITIONERS)
        if not self.channel_mult:
            raise ValueError("network.channel_mult: expected one multiplier per level, found an empty list")
        for key in ("model_channels", "num_blocks", "channel_mult_emb"):
            _check(key, getattr(self, key), lambda v: isinstance(v, int) and v > 0, "a positive integer")
        _check("channel_mult", self.channel_mult, lambda v: min(v) > 0, "positive integers")
        _check("model_channels", self.model_channels, lambda v: v % 4 == 0, "a multiple of 4, for its group norms")
        _check("augment_dim", self.augment_dim, lambda v: isinstance(v, int) and v >= 0, "0 or a positive integer")
        for key in ("dropout", "label_dropout"):
            _check(key, getattr(self, key), lambda v: 0 <= v < 1, "a probability in [0, 1)")
        for key in ("fourier_scale", "sigma_data", "sigma_min", "noise_scale"):
            _check(key, getattr(self, key), lambda v: v > 0, "a positive number")
        if self.latent_size is not None:
            _check("latent_size", self.latent_size, lambda v: isinstance(v, int) and v > 0, "a positive integer")
        if self.preset == "ddpm" and (self.augment_dim or self.label_dropout):
            raise ValueError("network.preset: 'ddpm' takes neither augment_dim nor label_dropout; leave both at 0")


def _integers(key: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not all(type(item) is int for item in value):
        raise ValueError(f"network.{key}: expected a list of integers, found {value!r}")
    return tuple(value)


def _choose(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"network.{key}: expected one of {', '.join(known)}, found {value!r}")


def _check(key: str, value: Any, holds: Callable[[Any], bool], expected: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | tuple) or not holds(value):
        raise ValueError(f"network.{key}: expected {expected}, found {value!r}")
