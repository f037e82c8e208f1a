"""Independent random streams, each named, from one seed.

A stream is addressed by (seed, purpose, index ...). Two addresses share nothing, and an address yields the
same numbers whatever was drawn before, in whatever process: so image i does not depend on its batch, and
step k of a resumed run is step k of the uninterrupted one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def address(seed: int, purpose: str, *index: int) -> int:
    """Return the 63-bit number that seeds the stream (seed, purpose, index ...)."""
    # a separator that no part contains, so that (1, "a", 23) and (1, "a2", 3) differ; SHA-256, because
    # Python's own hash of a text changes from process to process
    text = "\x1f".join((str(int(seed)), purpose, *(str(int(i)) for i in index)))
    # 63 bits: every generator of torch and numpy takes a non-negative int64 as its seed
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_stream(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return the stream as a numpy generator (PCG64, the same bits on every machine)."""
    return np.random.Generator(np.random.PCG64(address(seed, purpose, *index)))


def stream(seed: int, purpose: str, *index: int) -> torch.Generator:
    """Return the stream as a CPU torch generator; draw on the CPU, then move, so that devices agree."""
    import torch

    return torch.Generator().manual_seed(address(seed, purpose, *index))


@lru_cache(maxsize=4)  # consecutive batches lie in one epoch, or across the border of two
def permutation(seed: int, purpose: str, epoch: int, n: int) -> np.ndarray:
    """Return the order, int64 of shape (n,), in which epoch number `epoch` visits n items."""
    return numpy_stream(seed, purpose, epoch).permutation(n)


def visit(seed: int, purpose: str, n: int, first: int, count: int) -> np.ndarray:
    """Return items first .. first + count - 1 of the endless shuffled visit of n items, epoch after epoch."""
    positions = np.arange(first, first + count)
    epochs = positions // n
    parts = [permutation(seed, purpose, int(e), n)[positions[epochs == e] % n] for e in np.unique(epochs)]
    return np.concatenate(parts)


class ImageStreams:
    """One normal stream per image, so that a batch draws for each image what it would draw alone."""

    def __init__(self, seed: int, indices: Iterable[int], purpose: str = "sample-noise") -> None:
        self._generators = [stream(seed, purpose, i) for i in indices]

    def __len__(self) -> int:
        return len(self._generators)

    def randn(self, shape: Sequence[int]) -> torch.Tensor:
        """Return the next normal numbers, float32 of shape (images, *shape), on the CPU."""
        import torch

        return torch.stack([torch.randn(tuple(shape), generator=g) for g in self._generators])

    def uniform(self) -> torch.Tensor:
        """Return the next number in [0, 1) of each image, float64 of shape (images,), on the CPU."""
        import torch

        return torch.cat([torch.rand(1, generator=g, dtype=torch.float64) for g in self._generators])
