"""Uncertainty of a score: bootstrap, spread over seeds, extrapolation to infinitely many images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hkd.metrics.features.inputs import MetricError, check_features
from hkd.seeding import numpy_stream


@dataclass(frozen=True)
class Spread:
    """Scores of disjoint seed ranges: mean ± sd, and the minimum that EDM's convention reports instead."""

    mean: float
    sd: float
    minimum: float
    n: int


@dataclass(frozen=True)
class Bootstrap:
    """A score with the standard deviation that resampling its images gives, and the bias that resampling brings."""

    value: float
    sd: float
    bias: float
    resamples: int


@dataclass(frozen=True)
class Extrapolation:
    """A straight line through the score over 1/n: `value` at 1/n = 0, `sd` its standard error."""

    value: float
    slope: float
    sd: float
    sizes: tuple[int, ...]
    scores: tuple[float, ...]


def spread(scores: Sequence[float]) -> Spread:
    """Return mean, sample standard deviation (nan for one score) and minimum of scores from disjoint seeds.

    Raises:
        MetricError: for no scores, or one that is not finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise MetricError(f"spread: {len(values)} scores, {int((~np.isfinite(values)).sum())} of them not finite")
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return Spread(float(values.mean()), sd, float(values.min()), len(values))


def bootstrap(
    score: Callable[[np.ndarray], float], features: np.ndarray, *, resamples: int = 50, seed: int = 0
) -> Bootstrap:
    """Return the score of features (N, D) and the spread of `resamples` redraws of N rows with replacement.

    A redraw repeats rows, which lowers the rank: a Fréchet distance of it is biased upwards. So `sd` is for error
    bars and `bias` (mean of the redraws - value) is printed, never added to the value.
    """
    rows = check_features(features)
    value = score(rows)
    redraws = [
        score(rows[numpy_stream(seed, "bootstrap", i).integers(0, len(rows), len(rows))]) for i in range(resamples)
    ]
    return Bootstrap(value, float(np.std(redraws, ddof=1)), float(np.mean(redraws) - value), resamples)


def half_sampling(
    score: Callable[[np.ndarray], float], features: np.ndarray, *, resamples: int = 50, seed: int = 0
) -> Bootstrap:
    """Return the score of features (N, D) and its spread over random halves, which estimates that of the whole.

    For scores of nearest neighbours, to which a row drawn twice is a neighbour at no distance. `bias` is that of
    half the number of images.
    Source: Shao and Wu (1989), the delete-d jackknife with d = N / 2.
    """
    rows = check_features(features)
    value, half = score(rows), len(rows) // 2
    draws = [numpy_stream(seed, "half-sampling", i).permutation(len(rows))[:half] for i in range(resamples)]
    halves = [score(rows[np.sort(kept)]) for kept in draws]
    return Bootstrap(value, float(np.std(halves, ddof=1)), float(np.mean(halves) - value), resamples)


def frechet_infinity(
    generated: np.ndarray,
    distance: Callable[[np.ndarray], float],
    *,
    points: int = 15,
    smallest: int | None = None,
    seed: int = 0,
) -> Extrapolation:
    """Return the Fréchet distance extrapolated to infinitely many generated images; the reference is kept whole.

    Args:
        distance: of features (n, D) to the reference.
        points: subset sizes between `smallest` (default: a tenth of N, at least 2) and N, even in n.
    Raises:
        MetricError: see `check_features`; also for fewer than 3 distinct sizes.
    Source: Chong and Forsyth (2020), with seeded pseudo-random subsets in place of a Sobol sequence.
    """
    x = check_features(generated, name="generated features")
    low = max(2, len(x) // 10) if smallest is None else smallest
    sizes = np.unique(np.linspace(low, len(x), points).astype(int))
    if len(sizes) < 3:
        raise MetricError(f"extrapolation: {len(x)} images give {len(sizes)} subset sizes; sample more")
    order = [numpy_stream(seed, "extrapolation", int(n)).permutation(len(x))[:n] for n in sizes]
    return extrapolate(sizes, [distance(x[rows]) for rows in order])


def extrapolate(sizes: Sequence[int] | np.ndarray, scores: Sequence[float]) -> Extrapolation:
    """Return the least-squares line through (1/n, score) and its value at 0."""
    # the bias of a Fréchet distance from finitely many images is 1/n to first order
    inverse = 1.0 / np.asarray(sizes, dtype=np.float64)
    design = np.stack((np.ones_like(inverse), inverse), axis=1)
    solution, *_ = np.linalg.lstsq(design, np.asarray(scores, dtype=np.float64), rcond=None)
    residual = np.asarray(scores) - design @ solution
    variance = float(residual @ residual) / max(len(inverse) - 2, 1)
    sd = float(np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0]))
    exact = tuple(int(n) for n in sizes)
    return Extrapolation(float(solution[0]), float(solution[1]), sd, exact, tuple(float(s) for s in scores))


def why_estimate(n_generated: int, n_reference: int, *, dim: int, nominal: int | None = None) -> list[str]:
    """Return the reasons why a distance is an estimate only; empty where it is of full rank and full size."""
    reasons = [
        f"{side} n = {n} is not above the feature dimension {dim}"
        for side, n in (("generated", n_generated), ("reference", n_reference))
        if n <= dim
    ]
    if nominal is not None and n_generated < nominal:
        reasons.append(f"generated n = {n_generated} is below the nominal {nominal}")
    return reasons
