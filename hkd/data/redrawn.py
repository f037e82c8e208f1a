"""The noise in which trajectories start, drawn again from its address instead of being kept.

Trajectory i of a set starts in the normal numbers of the stream (seed, purpose, i) of `hkd.seeding`. They are the same
on every machine, so a set need not keep them: with `keep: x0+seed` it holds half of what `keep: ends` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from hkd.data.shards import PURPOSE
from hkd.seeding import ImageStreams

CHECKED = 8
"""How many noises of a shard have a digest: enough to find another seed or generator, and drawn in a moment."""


class RedrawnNoise:
    """The first state of trajectories, as a set that kept it would hold it.

    Args:
        seed: of the set.
        shape: (C, H, W) of a state.
        sigma, scale: the first noise level, and the number by which its state is divided.
    """

    def __init__(self, seed: int, shape: Sequence[int], sigma: float, scale: float) -> None:
        self._seed, self._shape, self._sigma, self._scale = seed, tuple(shape), sigma, scale

    def rows(self, numbers: Iterable[int]) -> np.ndarray:
        """Return the scaled states of trajectories of these numbers, float16 (n, C, H, W)."""
        noise = ImageStreams(self._seed, numbers, PURPOSE).randn(self._shape)
        # in float64, as the solver starts: the half floats are then those of a set that keeps its ends
        return (self._sigma * noise.to(torch.float64) / self._scale).to(torch.float16).numpy()

    def digest(self, first: int, count: int) -> str:
        """Return SHA-256 of the first noises, `CHECKED` at most, of `count` consecutive trajectories."""
        return hashlib.sha256(self.rows(range(first, first + min(count, CHECKED))).tobytes()).hexdigest()
