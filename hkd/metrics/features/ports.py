"""Do the two published ports of FID's network hold the same weights? Both are shown the same images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hkd.metrics.features.extract import extract
from hkd.metrics.features.inception import published_inception, torchscript_inception

SAME = 2e-4  # relative; between loaders of one file 1e-6 was measured, and 2e-4 bounds what arithmetic may do


@dataclass(frozen=True)
class PortsApart:
    """How far the features of two ports are apart, as a share of the second's length, over `n` images."""

    n: int
    relative_l2: float

    @property
    def same(self) -> bool:
        """Whether that is no more than rounding."""
        return self.relative_l2 < SAME


def ports_apart(images: np.ndarray, pytorch: Path, torchscript: Path, *, device: str) -> PortsApart:
    """Return how far the features of uint8 images (N, 3, H, W) in the two ports are apart.

    Args:
        pytorch, torchscript: the published files.
    Raises:
        ArtifactError: one is absent or has other bytes than the published one.
    """
    ours = extract(images, published_inception(pytorch, device=device), "A")
    theirs = extract(images, torchscript_inception(torchscript, device=device), "A")
    return PortsApart(len(images), float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)))
