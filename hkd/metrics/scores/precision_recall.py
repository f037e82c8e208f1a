"""Precision, recall, density and coverage from nearest neighbours in feature space.

A set's manifold is the union of balls around its points that reach to each point's k-th neighbour. Precision: share
of generated points inside the real manifold. Recall: share of real points inside the generated one. Density counts
the real balls a generated point is in; coverage is the share of real balls that hold a generated point.
Sources: Kynkäänniemi et al. (2019); Naeem et al. (2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hkd.metrics.features.inputs import MetricError, check_features


@dataclass(frozen=True)
class Manifold:
    """The convention of a program: the neighbour k that sets a ball's radius, and whether its surface belongs to it."""

    k: int
    inclusive: bool


CONVENTIONS = {"torch-fidelity": Manifold(3, True), "prdc": Manifold(5, False)}


@dataclass(frozen=True)
class PrecisionRecall:
    """The four scores; precision and density judge the images, recall and coverage the variety."""

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    inclusive: bool


def precision_recall(
    generated: np.ndarray,
    real: np.ndarray,
    convention: str | Manifold = "prdc",
    *,
    block: int = 2048,
    real_radii: np.ndarray | None = None,
) -> PrecisionRecall:
    """Return the scores of generated features (N, D) against real ones (M, D).

    Args:
        block: rows per distance block; memory is block x max(N, M) doubles instead of N x M.
        real_radii: `neighbour_radii` of the real features, where they are known already.
    Raises:
        MetricError: see `check_features`; also for fewer than k + 1 rows.
    """
    manifold = CONVENTIONS[convention] if isinstance(convention, str) else convention
    x = check_features(generated, name="generated features").astype(np.float64)
    y = check_features(real, name="real features", dim=x.shape[1]).astype(np.float64)
    if min(len(x), len(y)) <= manifold.k:
        raise MetricError(f"precision: {min(len(x), len(y))} rows have no neighbour number {manifold.k}; sample more")
    centre = y.mean(axis=0)  # subtracted, it leaves distances as they are but reduces their rounding
    x -= centre
    y -= centre
    radii_x = neighbour_radii(x, manifold.k, block=block)
    radii_y = neighbour_radii(y, manifold.k, block=block) if real_radii is None else real_radii
    in_real = np.zeros(len(x), dtype=np.int64)
    covered = np.zeros(len(y), dtype=bool)
    recalled = np.zeros(len(y), dtype=bool)
    for rows, squared in _distance_blocks(x, y, block):
        inside = _within(squared, radii_y[None, :], manifold)
        in_real[rows] = inside.sum(axis=1)
        covered |= inside.any(axis=0)
        recalled |= _within(squared, radii_x[rows, None], manifold).any(axis=0)
    return PrecisionRecall(
        precision=float((in_real > 0).mean()),
        recall=float(recalled.mean()),
        density=float(in_real.mean() / manifold.k),
        coverage=float(covered.mean()),
        k=manifold.k,
        inclusive=manifold.inclusive,
    )


def neighbour_radii(points: np.ndarray, k: int, *, block: int = 2048) -> np.ndarray:
    """Return the squared distance of each point (N, D) to its k-th neighbour, itself not counted, float64 (N,)."""
    radii = np.empty(len(points))
    for rows, squared in _distance_blocks(points, points, block):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.start + len(squared))] = -1.0  # itself comes first
        radii[rows] = np.partition(squared, k, axis=1)[:, k]
    return radii


def _distance_blocks(a: np.ndarray, b: np.ndarray, block: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield rows of `a` and their squared distances to all of `b`, (block, M)."""
    # |a - b|² = |a|² + |b|² - 2 a·b is one matrix product; rounding may push equal points below 0
    norms = (b * b).sum(axis=1)
    for start in range(0, len(a), block):
        part = a[start : start + block]
        squared = (part * part).sum(axis=1)[:, None] + norms[None, :] - 2.0 * (part @ b.T)
        yield slice(start, start + len(part)), np.maximum(squared, 0.0, out=squared)


def _within(squared: np.ndarray, radii: np.ndarray, manifold: Manifold) -> np.ndarray:
    return squared <= radii if manifold.inclusive else squared < radii
