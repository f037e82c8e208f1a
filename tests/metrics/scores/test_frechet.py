"""The distance equals closed forms and a high-precision reference, and has the invariances that it must have."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.frechet import frechet, frechet_from_features, frechet_from_rows, frechet_from_statistics
from hkd.metrics.scores.moments import Gaussian, gaussian_of
from hkd.seeding import numpy_stream


def features(n: int, dim: int, index: int = 0) -> np.ndarray:
    """Correlated, skewed and not centred, as real features are."""
    rng = numpy_stream(3, "features", n, dim, index)
    mixing = rng.standard_normal((dim, dim)) / np.sqrt(dim)
    return np.maximum(rng.standard_normal((n, dim)) @ mixing + 0.3 * index, -0.2).astype(np.float32)


def test_isotropic_gaussians_have_their_closed_form() -> None:
    dim, s1, s2 = 7, 1.5, 0.4
    mean1, mean2 = np.zeros(dim), np.full(dim, 0.3)
    score = frechet_from_statistics(mean1, s1**2 * np.eye(dim), mean2, s2**2 * np.eye(dim))
    assert score.mean_term == pytest.approx(dim * 0.09, rel=1e-12)
    assert score.trace_term == pytest.approx(dim * (s1 - s2) ** 2, rel=1e-12)
    assert score.fdn == pytest.approx(100 * score.distance / (dim * s2**2))


def test_commuting_covariances_have_their_closed_form() -> None:
    rng = numpy_stream(0, "rotation")
    basis, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    a, b = rng.uniform(0.1, 3, 12), rng.uniform(0.1, 3, 12)
    score = frechet_from_statistics(np.zeros(12), (basis * a) @ basis.T, np.zeros(12), (basis * b) @ basis.T)
    assert score.distance == pytest.approx(((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), rel=1e-12)


def test_two_by_two_covariances_have_their_closed_form() -> None:
    """tr (S1 S2)^(1/2) = sqrt(tr S1 S2 + 2 sqrt(det S1 S2)) in two dimensions, here in exact rationals."""
    s1 = [[Fraction(5, 2), Fraction(1, 3)], [Fraction(1, 3), Fraction(7, 5)]]
    s2 = [[Fraction(1, 4), Fraction(1, 9)], [Fraction(1, 9), Fraction(2, 1)]]
    trace = sum(s1[i][j] * s2[j][i] for i in range(2) for j in range(2))
    determinant = (s1[0][0] * s1[1][1] - s1[0][1] ** 2) * (s2[0][0] * s2[1][1] - s2[0][1] ** 2)
    root = float(trace + 2 * Fraction(float(determinant) ** 0.5)) ** 0.5
    expected = float(s1[0][0] + s1[1][1] + s2[0][0] + s2[1][1]) - 2 * root
    score = frechet_from_statistics(np.zeros(2), np.array(s1, float), np.zeros(2), np.array(s2, float))
    assert score.distance == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("n", "dim"), [(20, 64), (64, 64), (200, 64), (500, 16)])
def test_equal_sets_score_zero(n: int, dim: int) -> None:
    x = features(n, dim)
    assert frechet_from_features(x, x).fdn < 1e-10


@pytest.mark.parametrize(("n1", "n2", "path"), [(20, 30, "nuclear-norm"), (300, 400, "cholesky-eigvalsh")])
def test_features_and_their_statistics_agree(n1: int, n2: int, path: str) -> None:
    x, y = features(n1, 64), features(n2, 64, 1)
    direct = frechet_from_features(x, y)
    stored = frechet(gaussian_of(x), gaussian_of(y))
    assert direct.conditioning.path == path
    assert stored.distance == pytest.approx(direct.distance, rel=1e-9)
    assert abs(stored.distance - direct.distance) < 1e-9


def test_few_generated_images_against_a_full_rank_reference() -> None:
    x, y = features(20, 64).astype(np.float64), features(500, 64, 1).astype(np.float64)
    score = frechet_from_features(x, y)
    stored = frechet(gaussian_of(x), gaussian_of(y))
    assert (score.conditioning.path, stored.conditioning.path) == ("nuclear-norm", "eigh-svd")
    assert score.conditioning.ranks == stored.conditioning.ranks == (19, 64)
    assert stored.distance == pytest.approx(score.distance, rel=1e-11)
    centred = (x - x.mean(0)) / np.sqrt(19)
    root = np.linalg.svd(centred @ np.linalg.cholesky(np.cov(y, rowvar=False)), compute_uv=False).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(np.cov(x.T)) + np.trace(np.cov(y.T)) - 2 * root
    assert score.distance == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("n", [20, 64, 65, 200])
def test_rows_against_statistics_are_to_the_bit_rows_against_rows(n: int) -> None:
    x, y = features(n, 64), features(500, 64, 1)
    assert frechet_from_rows(x, gaussian_of(y)) == frechet_from_features(x, y)
    with pytest.raises(MetricError, match="dimension 64 where 32 is due"):
        frechet_from_rows(features(n, 32), gaussian_of(y))


@pytest.mark.parametrize("decay", [0.5, 0.8, 0.95])
def test_badly_conditioned_covariances_stay_exact(decay: float) -> None:
    """Diagonal covariances hidden by a common rotation: the answer is known however small the eigenvalues."""
    dim = 40
    basis, _ = np.linalg.qr(numpy_stream(1, "rotation").standard_normal((dim, dim)))
    a, b = decay ** np.arange(dim), decay ** np.arange(dim)[::-1]
    score = frechet_from_statistics(np.zeros(dim), (basis * a) @ basis.T, np.zeros(dim), (basis * b) @ basis.T)
    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert abs(score.distance - expected) <= max(1e-7 * expected, 10 * score.conditioning.error_bound)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([(30, 40, 50), (120, 150, 24)]))
def test_shift_rotation_and_order_do_not_matter(seed: int, sizes: tuple[int, int, int]) -> None:
    n1, n2, dim = sizes
    rng = numpy_stream(seed, "invariance")
    x, y = features(n1, dim).astype(np.float64), features(n2, dim, 1).astype(np.float64)
    rotation, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
    expected = frechet_from_features(x, y).distance
    moved = frechet_from_features(rng.permutation(x @ rotation + 3.0), rng.permutation(y @ rotation + 3.0)).distance
    assert moved == pytest.approx(expected, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100), st.booleans())
def test_scale_is_quadratic_and_sides_are_interchangeable(scale: float, low_rank: bool) -> None:
    n = 20 if low_rank else 200
    x, y = features(n, 32).astype(np.float64), features(n, 32, 1).astype(np.float64)
    expected = frechet_from_features(x, y).distance
    assert frechet_from_features(y * scale, x * scale).distance == pytest.approx(scale**2 * expected, rel=1e-9)


def test_parts_add_up() -> None:
    score = frechet_from_features(features(200, 16), features(300, 16, 1))
    assert score.distance == score.mean_term + score.trace_term
    assert score.n == (200, 300)
    assert score.dim == 16


def test_another_dimension_is_refused_with_a_remedy() -> None:
    with pytest.raises(MetricError, match="dimension 16 where 32 is due; recompute"):
        frechet_from_features(features(50, 32), features(50, 16))
    with pytest.raises(MetricError, match="dimension 4 where 3 is due; rebuild"):
        frechet_from_statistics(np.zeros(3), np.eye(3), np.zeros(4), np.eye(4))


def test_damaged_statistics_are_refused() -> None:
    skew = np.eye(3)
    skew[0, 1] = 0.5
    good = Gaussian(10, np.zeros(3), np.eye(3))
    with pytest.raises(MetricError, match="not symmetric"):
        frechet(good, Gaussian(10, np.zeros(3), skew))
    with pytest.raises(MetricError, match="NaN"):
        frechet(good, Gaussian(10, np.array([0, np.nan, 0]), np.eye(3)))
    with pytest.raises(MetricError, match="zero variance"):
        frechet(good, Gaussian(10, np.zeros(3), np.zeros((3, 3))))
