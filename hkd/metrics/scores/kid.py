"""Kernel distance (KID): the squared maximum mean discrepancy under a cubic kernel, unbiased.

    k(x, y) = (x·y / D + 1)³

Libraries average it over random subsets of 1,000 in float32, so that the number depends on a seed. The estimator
needs no subsets: over all pairs, in float64 and by blocks, it is deterministic. The library mode is kept beside it.
Source: Bińkowski et al. (2018), Eq. 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hkd.metrics.features.inputs import MetricError, check_features


@dataclass(frozen=True)
class SubsetKid:
    """Mean and population standard deviation over random subsets."""

    mean: float
    sd: float
    subsets: int
    subset_size: int


def kid(generated: np.ndarray, reference: np.ndarray, *, block: int = 2048) -> float:
    """Return the unbiased squared discrepancy of features (N, D) and (M, D) over all pairs; can be slightly negative.

    Args:
        block: rows per kernel block; memory is block² doubles, and rows in float64 are of two blocks at a time. The
            result does not depend on it beyond rounding.
    """
    x = check_features(generated, name="generated features")
    y = check_features(reference, name="reference features", dim=x.shape[1])
    within = _pairs_within(x, block) / (len(x) * (len(x) - 1)) + _pairs_within(y, block) / (len(y) * (len(y) - 1))
    return within - 2.0 * _pairs_between(x, y, block) / (len(x) * len(y))


def subset_kid(
    generated: np.ndarray, reference: np.ndarray, *, subsets: int = 100, subset_size: int = 1000, seed: int = 2020
) -> SubsetKid:
    """Return the value as torch-fidelity reports it: float32 kernels over seeded subsets drawn without replacement.

    Raises:
        MetricError: for fewer rows than a subset holds.
    """
    x = check_features(generated, name="generated features")
    y = check_features(reference, name="reference features", dim=x.shape[1])
    if subset_size > min(len(x), len(y)):
        raise MetricError(f"kid: subsets of {subset_size} from {len(x)} and {len(y)} rows; lower subset_size")
    rng = np.random.RandomState(seed)  # the legacy generator, because the library draws its subsets with it
    values = np.zeros(subsets)
    for i in range(subsets):
        a = x[rng.choice(len(x), subset_size, replace=False)].astype(np.float32)
        b = y[rng.choice(len(y), subset_size, replace=False)].astype(np.float32)
        xx, yy, xy = _kernel(a, a), _kernel(b, b), _kernel(a, b)
        within = xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)
        values[i] = within / (subset_size * (subset_size - 1)) - 2.0 * xy.sum() / subset_size**2
    return SubsetKid(float(values.mean()), float(values.std()), subsets, subset_size)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _exact(rows: np.ndarray, start: int, block: int) -> np.ndarray:
    return rows[start : start + block].astype(np.float64)


def _pairs_between(a: np.ndarray, b: np.ndarray, block: int) -> float:
    parts = [
        float(_kernel(_exact(a, i, block), _exact(b, j, block)).sum())
        for i in range(0, len(a), block)
        for j in range(0, len(b), block)
    ]
    return float(np.sum(parts))


def _pairs_within(a: np.ndarray, block: int) -> float:
    """Return the sum of k over ordered pairs of different rows."""
    # k is symmetric: each pair of blocks is computed once and counted twice
    total = 0.0
    for i in range(0, len(a), block):
        own = _exact(a, i, block)
        part = _kernel(own, own)
        total += float(part.sum() - np.trace(part))
        total += 2.0 * sum(float(_kernel(own, _exact(a, j, block)).sum()) for j in range(i + block, len(a), block))
    return total
