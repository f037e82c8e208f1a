"""Fréchet distance between Gaussians fitted to two sets of features, exact to rounding, in float64.

    FD = |m1 - m2|² + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

Published code takes the matrix square root of S1 S2, which is neither symmetric nor, with fewer images than
dimensions, regular; its errors reach 1e-4. The trace needs no root. With any factors S1 = F1 F1ᵀ, S2 = F2 F2ᵀ it is
the nuclear norm of F1ᵀ F2. Centred features are such factors (n < D), Cholesky factors are (full rank), and so are
eigenvectors scaled by the root of their eigenvalues (rank-deficient covariances of which only the matrix is known).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.linalg import lapack

from hkd.metrics.features.inputs import MetricError, check_features
from hkd.metrics.scores.moments import Gaussian, gaussian_of

RANK_TOLERANCE = 1e-12  # eigenvalues below this share of the largest are rounding errors of a zero (measured)
PIVOT_TOLERANCE = 1e-6  # Cholesky pivots below this share of the largest: treat as rank-deficient (1e-12 squared)
SQUARING_TOLERANCE = 1e-9  # largest relative error of FD that the squared spectrum may bring


@dataclass(frozen=True)
class Conditioning:
    """How the trace was computed and how far it can be trusted.

    Attributes:
        path: nuclear-norm, cholesky-eigvalsh, cholesky-svd or eigh-svd.
        ranks: number of directions kept of either covariance.
        condition: ratio of the largest to the smallest singular value of the product that were kept.
        error_bound: first-order bound of the rounding error of FD, in units of FD.
    """

    path: str
    ranks: tuple[int, int]
    condition: float
    error_bound: float


@dataclass(frozen=True)
class Frechet:
    """A Fréchet distance with its parts: distance = mean_term + trace_term."""

    distance: float
    mean_term: float
    trace_term: float
    reference_trace: float
    n: tuple[int, int]
    dim: int
    conditioning: Conditioning

    @property
    def fdn(self) -> float:
        """Distance in per cent of the reference's total variance.

        Between extractors its order of magnitude can be compared, not its value.
        """
        return 100.0 * self.distance / self.reference_trace

    def as_dict(self) -> dict[str, object]:
        """Return the parts and FDn as plain values."""
        return {**asdict(self), "fdn": self.fdn}


def frechet_from_features(generated: np.ndarray, reference: np.ndarray) -> Frechet:
    """Return the distance between features (N1, D) and (N2, D).

    Raises:
        MetricError: see `check_features`; also for a reference of another dimension.
    """
    x = check_features(generated, name="generated features")
    y = check_features(reference, name="reference features", dim=x.shape[1])
    if len(y) > x.shape[1]:
        return frechet_from_rows(x, gaussian_of(y))
    return _low_rank(x, *_thin_factor(y), len(y))


def frechet_from_rows(generated: np.ndarray, reference: Gaussian) -> Frechet:
    """Return the distance of features (N, D) to statistics of more than D images, bit-equal to that from their rows.

    Raises:
        MetricError: see `check_features` and `frechet`.
    """
    x = check_features(generated, name="generated features")
    if len(x) > x.shape[1]:
        return frechet(gaussian_of(x), reference)
    _check_statistics("reference", reference, x.shape[1])
    return _low_rank(x, reference.mean, _factor(reference.covariance), reference.n)


def frechet(generated: Gaussian, reference: Gaussian) -> Frechet:
    """Return the distance between two sets of statistics.

    Raises:
        MetricError: for different dimensions, non-finite values or a covariance that is not symmetric.
    """
    for name, side in (("generated", generated), ("reference", reference)):
        _check_statistics(name, side, generated.dim)
    trace, conditioning = _trace_root(generated.covariance, reference.covariance)
    return _assemble(generated, reference, trace, conditioning)


def frechet_from_statistics(
    mean1: np.ndarray,
    covariance1: np.ndarray,
    mean2: np.ndarray,
    covariance2: np.ndarray,
    *,
    n: tuple[int, int] = (0, 0),
) -> Frechet:
    """Return the distance between published statistics (mu, sigma), generated first; n = 0 where it is not known."""
    sides = [
        Gaussian(count, np.asarray(mean, np.float64), np.asarray(covariance, np.float64))
        for count, mean, covariance in ((n[0], mean1, covariance1), (n[1], mean2, covariance2))
    ]
    return frechet(sides[0], sides[1])


def _low_rank(x: np.ndarray, mean2: np.ndarray, factor2: np.ndarray, n2: int) -> Frechet:
    """Return the distance of features with no more rows than dimensions, or of any to such a reference.

    The centred rows of the smaller set are a factor of its covariance, which is never formed.
    """
    mean1, factor1 = _thin_factor(x)
    singular = _singular_values(factor1.T @ factor2)
    traces = (float(np.vdot(factor1, factor1)), float(np.vdot(factor2, factor2)))
    ranks = (min(len(x) - 1, x.shape[1]), min(n2 - 1, x.shape[1]))
    conditioning = _report("nuclear-norm", ranks, singular, traces)
    return _finish(mean1 - mean2, traces, float(singular.sum()), (len(x), n2), conditioning)


def _thin_factor(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and a factor F (D, min(n, D)) with F Fᵀ = the covariance of `rows` (n, D)."""
    n, dim = rows.shape
    if n > dim:
        side = gaussian_of(rows)
        return side.mean, _factor(side.covariance)
    exact = rows.astype(np.float64)
    mean = exact.mean(axis=0)
    exact -= mean
    return mean, exact.T / np.sqrt(n - 1)


def _trace_root(s1: np.ndarray, s2: np.ndarray) -> tuple[float, Conditioning]:
    """Return tr (S1 S2)^(1/2) by the cheapest path that is exact for these matrices."""
    traces = (float(np.trace(s1)), float(np.trace(s2)))
    factor1 = _cholesky(s1)
    if factor1 is not None:
        # The eigenvalues of L1ᵀ S2 L1 are the squares of the singular values that are needed, and cheaper. But a
        # square root turns an error e of an eigenvalue near 0 into sqrt(e): where these add up to more than the
        # tolerance, the singular values themselves are computed.
        squared = np.maximum(_congruent_spectrum(s2, factor1), 0.0)
        noise = np.finfo(np.float64).eps * squared[-1]
        spill = float(np.minimum(np.sqrt(noise), noise / np.maximum(np.sqrt(squared), 1e-300)).sum())
        if spill <= SQUARING_TOLERANCE * sum(traces):
            singular = np.sqrt(squared[::-1])
            return float(singular.sum()), _report("cholesky-eigvalsh", (len(s1), len(s1)), singular, traces, spill)
    factor2 = _cholesky(s2)
    path = "eigh-svd" if factor1 is None or factor2 is None else "cholesky-svd"
    f1 = _root_factor(s1) if factor1 is None else factor1
    f2 = _root_factor(s2) if factor2 is None else factor2
    singular = _singular_values(f1.T @ f2)
    return float(singular.sum()), _report(path, (f1.shape[1], f2.shape[1]), singular, traces)


def _congruent_spectrum(covariance: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return the eigenvalues, ascending, of Lᵀ S L for the lower triangular L; they are those of S L Lᵀ.

    `dsygst` forms the product with fewer operations, because it knows that S is symmetric and L triangular. It wants
    column-major matrices, which the transposes are without a copy, and so sees the lower triangle as the upper one.
    """
    product, info = lapack.dsygst(covariance.T, factor.T, itype=3, lower=0)
    if info != 0:  # an argument of the wrong shape: cannot happen
        raise AssertionError(f"dsygst returned {info}")
    return np.linalg.eigvalsh(product.T, UPLO="L")


def _cholesky(covariance: np.ndarray) -> np.ndarray | None:
    """Return the lower Cholesky factor, or None where the matrix is rank-deficient to working precision."""
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return None
    pivots = np.diagonal(factor)
    return factor if pivots.min() > PIVOT_TOLERANCE * pivots.max() else None


def _factor(covariance: np.ndarray) -> np.ndarray:
    """Return F with F Fᵀ = covariance: the Cholesky factor, or eigenvectors where the rank is deficient."""
    factor = _cholesky(covariance)
    return _root_factor(covariance) if factor is None else factor


def _root_factor(covariance: np.ndarray) -> np.ndarray:
    """Return F (D, rank) with F Fᵀ = covariance, its null space left out."""
    values, vectors = np.linalg.eigh(covariance)
    keep = values > RANK_TOLERANCE * max(float(values[-1]), 0.0)
    return vectors[:, keep] * np.sqrt(values[keep])


def _singular_values(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.svd(matrix, compute_uv=False) if min(matrix.shape) else np.zeros(0)


def _report(
    path: str, ranks: tuple[int, int], singular: np.ndarray, traces: tuple[float, float], spill: float = 0.0
) -> Conditioning:
    """Return how the trace was computed; `spill` is the error that squared singular values brought."""
    kept = singular[singular > RANK_TOLERANCE * singular[0]] if len(singular) and singular[0] > 0 else singular[:0]
    condition = float(kept[0] / kept[-1]) if len(kept) else 1.0
    rounding = np.finfo(np.float64).eps * len(singular) * (float(singular[0]) if len(singular) else 0.0)
    bound = 2.0 * (rounding + spill) + np.finfo(np.float64).eps * sum(traces)
    return Conditioning(path, ranks, condition, float(bound))


def _assemble(generated: Gaussian, reference: Gaussian, trace: float, conditioning: Conditioning) -> Frechet:
    traces = (float(np.trace(generated.covariance)), float(np.trace(reference.covariance)))
    return _finish(generated.mean - reference.mean, traces, trace, (generated.n, reference.n), conditioning)


def _finish(
    difference: np.ndarray, traces: tuple[float, float], root: float, n: tuple[int, int], conditioning: Conditioning
) -> Frechet:
    mean_term = float(difference @ difference)
    trace_term = max(traces[0] + traces[1] - 2.0 * root, 0.0)  # a distance; below 0 only by rounding
    if not traces[1] > 0.0:
        raise MetricError(
            "reference features: zero variance; its images are copies of one, or the extractor returns a constant"
        )
    return Frechet(mean_term + trace_term, mean_term, trace_term, traces[1], n, len(difference), conditioning)


def _check_statistics(name: str, side: Gaussian, dim: int) -> None:
    if side.mean.shape != (side.dim,) or side.covariance.shape != (side.dim, side.dim):
        raise MetricError(f"{name} statistics: mean {side.mean.shape} and covariance {side.covariance.shape} disagree")
    if side.dim != dim:
        raise MetricError(
            f"{name} statistics: dimension {side.dim} where {dim} is due; rebuild them with the same extractor"
        )
    scale = float(np.abs(side.covariance).max())
    if not (np.isfinite(side.mean).all() and np.isfinite(scale)):
        raise MetricError(f"{name} statistics: contain NaN or infinity; rebuild them from the images")
    probe = np.cos(np.arange(side.dim))  # S v = Sᵀ v for some general v: tested without a transposed copy
    if np.abs(side.covariance @ probe - probe @ side.covariance).max() > 1e-6 * scale:
        raise MetricError(f"{name} statistics: covariance is not symmetric; the file is damaged, rebuild it")
