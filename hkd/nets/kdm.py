"""The network of KDM: two encoders, one dense linear map between their latents, and a decoder.

Source: Berman et al. (2025), "One-Step Offline Distillation of Diffusion-based Models via Koopman Modeling",
arXiv 2505.13358; the sizes are those of the official code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hkd.nets.layers import Init, Linear
from hkd.nets.presets import NetworkConfig
from hkd.nets.unet import SONG, SongUNet


def from_config(config: NetworkConfig, size: Mapping[str, Any]) -> KDMNet:
    """Return the networks of preset `kdm`, whose blocks are those of `ddpmpp`."""
    own = {key: value for key, value in size.items() if key not in ("in_channels", "out_channels")}
    own |= {"augment_dim": config.augment_dim, "label_dropout": config.label_dropout}
    return KDMNet(**own, img_channels=size["in_channels"], latent_size=config.latent_size, **SONG["ddpmpp"])


class KDMNet(nn.Module):
    """x -> D(K E_T(x)), with z = E_T(x) a plane of the image's size, or its projection to `latent_size` numbers.

    `encode_clean` is the encoder of clean images, which only training needs. Labels reach all three U-Nets and,
    through a linear map, the evolved latent. Each U-Net works at one time only, so its time label is a constant.

    Args:
        latent_size: None for the plane itself.
        size: of each U-Net, as `SongUNet` takes it.
    """

    def __init__(
        self, img_resolution: int, img_channels: int, label_dim: int = 0, latent_size: int | None = None, **size: Any
    ) -> None:
        super().__init__()
        self.img_resolution, self.img_channels, self.label_dim = img_resolution, img_channels, label_dim
        plane = img_resolution**2
        width = latent_size or plane

        def unet(in_channels: int, out_channels: int) -> SongUNet:
            return SongUNet(img_resolution, in_channels, out_channels, label_dim=label_dim, **size)

        def projection(inputs: int, outputs: int) -> nn.Module:
            # drawn as the U-Nets' own maps are: Xavier, and no bias at first
            return Linear(inputs, outputs, init=Init()) if latent_size else nn.Identity()

        self.encoder_clean, self.encoder_noise = unet(img_channels, 1), unet(img_channels, 1)
        self.project_clean, self.project_noise = projection(plane, width), projection(plane, width)
        self.operator = nn.Linear(width, width)
        self.control = nn.Linear(label_dim, width) if label_dim else None
        self.expand, self.decoder = projection(width, plane), unet(1, img_channels)

    @property
    def counted(self) -> nn.Module:
        """The part whose calls count as network evaluations: the decoder, where every pass ends.

        It is a part, not the whole, because training calls the parts one by one.
        """
        return self.decoder

    def forward(self, x: Tensor, noise_labels: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return images (B, C, R, R) for states x (B, C, R, R); `noise_labels` (1,) or (B,) condition the encoder."""
        z = self.encode_noise(x, noise_labels, class_labels)
        return self.decode(self.evolve(z, class_labels), class_labels)

    def encode_noise(self, x: Tensor, noise_labels: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return the latents (B, width) of states at the start of trajectories."""
        return self.project_noise(self.encoder_noise(x, noise_labels, class_labels).flatten(1))

    def encode_clean(self, x: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return the latents (B, width) of images at the end of trajectories."""
        return self.project_clean(self.encoder_clean(x, x.new_zeros(1), class_labels).flatten(1))

    def evolve(self, z: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return K z, shifted by a linear map of the class."""
        evolved = self.operator(z)
        if self.control is not None and class_labels is not None:
            evolved = evolved + self.control(class_labels)
        return evolved

    def decode(self, z: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return the images (B, C, R, R) of latents (B, width)."""
        side = self.img_resolution
        return self.decoder(self.expand(z).reshape(len(z), 1, side, side), z.new_zeros(1), class_labels)


class Discriminator(nn.Module):
    """Four convolutions that tell stored images from decoded ones: (B, C, R, R) -> logits (B, 1, h, w).

    The last one reads 4x4 places, or all where there are fewer: one logit for images of up to 32 pixels.
    """

    def __init__(self, img_resolution: int, img_channels: int, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(img_channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
            nn.BatchNorm2d(4 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, min(img_resolution // 8, 4)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.to(torch.float32))
