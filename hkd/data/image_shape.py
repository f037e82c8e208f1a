"""The shape of a data set's images and labels, in a module of its own: it needs no torch, whose start takes seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageShape:
    """The shape of a data set's images and labels, on which a network's shape depends."""

    resolution: int
    channels: int
    label_dim: int

    @property
    def chw(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return (self.channels, self.resolution, self.resolution)
