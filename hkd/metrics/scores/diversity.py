"""Diversity: the mean perceptual distance between pairs of generated images, which is low when they look alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hkd.metrics.features.inputs import MetricError, check_images
from hkd.seeding import numpy_stream

Distance = Callable[[Tensor, Tensor], Tensor]  # two (B, 3, H, W) in [-1, 1] to (B,) or (B, 1, 1, 1)


@dataclass(frozen=True)
class Diversity:
    """Mean distance over random pairs, its standard error, and the number of pairs."""

    mean: float
    standard_error: float
    pairs: int


def diversity(
    images: np.ndarray, distance: Distance, *, pairs: int = 1000, seed: int = 0, batch: int = 64
) -> Diversity:
    """Return the mean `distance` between random pairs of different uint8 images (N, 3, H, W).

    Pairs are drawn by seed and do not depend on the batch size. `distance` receives images in [-1, 1].

    Raises:
        MetricError: see `check_images`; also for a distance that is not finite.
    """
    array = check_images(images)
    rng = numpy_stream(seed, "diversity-pairs", len(array))
    first = rng.integers(0, len(array), pairs)
    # an offset from 1 to N - 1, modulo N, never leads back to the first image
    second = (first + rng.integers(1, len(array), pairs)) % len(array)
    values = []
    with torch.inference_mode():
        for start in range(0, pairs, batch):
            rows = slice(start, start + batch)
            values.append(distance(_unit(array[first[rows]]), _unit(array[second[rows]])).reshape(-1).cpu().numpy())
    found = np.concatenate(values).astype(np.float64)
    if found.shape != (pairs,) or not np.isfinite(found).all():
        raise MetricError(f"diversity: {pairs} pairs gave {found.shape} distances, some perhaps not finite; check it")
    return Diversity(float(found.mean()), float(found.std(ddof=1) / np.sqrt(pairs)), pairs)


def _unit(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).float() / 127.5 - 1.0
