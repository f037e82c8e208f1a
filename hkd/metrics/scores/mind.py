"""Monge Inception Distance (MIND): how far two sets of features are apart along random directions, on average.

    MIND = α E_u[ W₂²(u·x, u·y) ],   α = 3 D,   u uniform on the unit sphere

In one dimension optimal transport pairs the smallest with the smallest, so that W₂² of two sets of equal number is the
mean squared difference of their sorted projections. A shift by c gives 3 |c|², where the Fréchet distance gives |c|².
Source: Berthet et al. (2026), arXiv 2605.06797; docs/protocols.md says which of its constants were read where.
"""

from __future__ import annotations

import hashlib

import numpy as np

from hkd.metrics.features.inputs import MetricError, check_features
from hkd.seeding import numpy_stream

PROJECTIONS = 1000  # directions u
SEED = 0  # of the directions, and of the subset of the larger set
BLOCK = 100  # directions at a time: 50,000 rows take 40 MB
ROWS = 1 << 14  # in float64 at a time; sets of more may differ in their last digit from one product of all


def mind(generated: np.ndarray, reference: np.ndarray, *, projections: int = PROJECTIONS, seed: int = SEED) -> float:
    """Return MIND of features (N, D) and (M, D), at least 0. Of the larger set a random subset of min(N, M) counts.

    Raises:
        MetricError: see `check_features`; also for no projections.
    """
    x = check_features(generated, name="generated features")
    y = check_features(reference, name="reference features", dim=x.shape[1])
    n = min(len(x), len(y))
    left, right = ((rows, _subset(len(rows), n, seed)) for rows in (x, y))
    along = directions(x.shape[1], projections=projections, seed=seed)
    total = 0.0
    for start in range(0, projections, BLOCK):
        u = along[start : start + BLOCK].T
        difference = np.sort(_along(*left, u), axis=0) - np.sort(_along(*right, u), axis=0)
        total += float(np.square(difference).sum())
    return 3.0 * x.shape[1] * total / (n * projections)


def directions(dim: int, *, projections: int = PROJECTIONS, seed: int = SEED) -> np.ndarray:
    """Return random unit vectors, float64 (projections, dim): the same wherever they are drawn.

    Raises:
        MetricError: for no projections.
    """
    if projections < 1:
        raise MetricError(f"mind: {projections} projections; take 1 or more")
    drawn = numpy_stream(seed, "mind-directions").standard_normal((projections, dim))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def describe(dim: int) -> str:
    """Return the directions in words and by their digest, as a protocol says them."""
    digest = hashlib.sha256(directions(dim).astype("<f4").tobytes()).hexdigest()[:12]
    return f"{PROJECTIONS:,} random directions of seed {SEED} ({digest})"


def _subset(count: int, n: int, seed: int) -> np.ndarray:
    """Return n of the indices of rows, drawn without replacement, for a reference may be sorted by class."""
    return np.arange(n) if n == count else numpy_stream(seed, "mind-subset").permutation(count)[:n]


def _along(rows: np.ndarray, chosen: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the chosen rows of (N, D) along directions (D, k), float64."""
    starts = range(0, len(chosen), ROWS)
    return np.concatenate([rows[chosen[i : i + ROWS]].astype(np.float64) @ u for i in starts])
