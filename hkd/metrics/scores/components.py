"""Fréchet distance on the principal components of the reference: what a few hundred images can tell of many features.

With D features and n images the distance of two halves of one set is about proportional to D / n: on 1,280 features it
drowns in this bias. The leading axes hold most of the variance and need few images. They are fitted on the reference
alone, so that no sample bends the measure that it is held against.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.frechet import Frechet, frechet_from_rows
from hkd.metrics.scores.moments import Gaussian

PARTS = ("origin", "axes", "variances")
BLOCK = 1 << 14  # rows in float64 at a time; sets of more may differ in their last digit from one product of all


@dataclass(frozen=True)
class Components:
    """Principal components of n features: `origin` (D,), `axes` (k, D) of length 1, `variances` (k,), falling."""

    n: int
    origin: np.ndarray
    axes: np.ndarray
    variances: np.ndarray

    @property
    def dim(self) -> int:
        """Number of components."""
        return len(self.axes)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by the names in PARTS."""
        return {part: getattr(self, part) for part in PARTS}

    def digest(self) -> str:
        """Return 16 hexadecimal digits over origin and axes: only distances on equal ones compare."""
        held = hashlib.sha256(self.origin.astype("<f8").tobytes())
        held.update(self.axes.astype("<f8").tobytes())
        return held.hexdigest()[:16]

    def projected(self, features: np.ndarray) -> np.ndarray:
        """Return features (N, D) on the axes, float64 (N, k)."""
        starts = range(0, len(features), BLOCK)
        return np.concatenate([(features[i : i + BLOCK] - self.origin) @ self.axes.T for i in starts])

    def frechet(self, features: np.ndarray) -> Frechet:
        """Return the distance of features (N, D) to those that the components were fitted on.

        Raises:
            MetricError: see `frechet_from_rows`.
        """
        known = Gaussian(self.n, np.zeros(self.dim), np.diag(self.variances))
        return frechet_from_rows(self.projected(features), known)


def principal_components(reference: Gaussian, k: int) -> Components:
    """Return the k leading principal components of a reference.

    Raises:
        MetricError: it has no more than k images.
    """
    if reference.n <= k:
        raise MetricError(
            f"reference: {reference.n} images, and {k} principal components need more than {k}; take more images, or "
            "leave the column out"
        )
    d = reference.dim
    variances, vectors = eigh(reference.covariance, subset_by_index=(d - k, d - 1))
    axes = vectors.T[::-1]
    # an eigenvector is known up to its sign, which libraries choose each in their own way
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return Components(reference.n, reference.mean, axes * np.sign(largest), np.maximum(variances[::-1], 0.0))
