"""Normal numbers that a device draws for itself, each by its address, with integer arithmetic that every device shares.

A sampler that draws at every step would otherwise wait for the host: DDPM's thousand steps of 50,000 images are 0.4
hours of one CPU and 0.6 TB of copies.

Source: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3": Philox 4x32 with ten rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from hkd.draws import MASK, philox
from hkd.seeding import ImageStreams, address


class DeviceStreams(ImageStreams):
    """One stream per image, drawn on a device: a batch draws for each image what it would draw alone, on any device."""

    def __init__(self, seed: int, indices: Iterable[int], device: torch.device, purpose: str = "device-noise") -> None:
        self._images = torch.tensor(list(indices), dtype=torch.int64).to(device)[:, None]
        self._key, self._draws = address(seed, purpose), 0

    def __len__(self) -> int:
        return len(self._images)

    def randn(self, shape: Sequence[int]) -> Tensor:
        """Return the next normal numbers, float32 of shape (images, *shape), on the device."""
        count = math.prod(shape)
        words = self._words((count + 3) // 4)
        # float64, so that devices whose logarithms differ in the last bit agree after rounding
        size = (-2 * (_unit(torch.stack(words[:2], dim=-1))).log()).sqrt()
        angle = 2 * math.pi * _unit(torch.stack(words[2:], dim=-1))
        normal = torch.stack((size * angle.cos(), size * angle.sin()), dim=-1).flatten(1)[:, :count]
        return normal.to(torch.float32).reshape(len(self), *shape)

    def uniform(self) -> Tensor:
        """Return the next number in [0, 1) of each image, float64 of shape (images,), on the device."""
        return self._words(1)[0][:, 0].to(torch.float64) / 2**32

    def _words(self, blocks: int) -> list[Tensor]:
        """Return four words (images, blocks) each, of addresses (image, draw, block)."""
        block = torch.arange(blocks, dtype=torch.int64, device=self._images.device)[None]
        self._draws += 1
        return philox((block, self._draws - 1, self._images & MASK, self._images >> 32), self._key)


def _unit(words: Tensor) -> Tensor:
    """Return words as numbers inside (0, 1), float64."""
    return (words.to(torch.float64) + 0.5) / 2**32
