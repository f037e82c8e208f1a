"""Error bars cover what they should, and extrapolation removes the bias that small samples bring."""

from __future__ import annotations

import numpy as np
import pytest

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.metrics.scores.uncertainty import bootstrap, extrapolate, frechet_infinity, half_sampling, spread, why_estimate
from hkd.seeding import numpy_stream


def normal(n: int, dim: int, index: int, shift: float = 0.0) -> np.ndarray:
    return numpy_stream(4, "normal", index).standard_normal((n, dim)) + shift


def test_spread_reports_mean_sd_and_the_minimum() -> None:
    score = spread([2.0, 4.0, 3.0])
    assert (score.mean, score.sd, score.minimum, score.n) == (3.0, 1.0, 2.0, 3)
    assert np.isnan(spread([2.0]).sd)
    with pytest.raises(MetricError, match="1 of them not finite"):
        spread([1.0, float("nan")])


def test_bootstrap_of_a_mean_gives_its_standard_error() -> None:
    rows = normal(400, 1, 0)
    score = bootstrap(lambda r: float(r.mean()), rows, resamples=200)
    assert score.value == rows.mean()
    assert score.sd == pytest.approx(rows.std() / 20, rel=0.2)
    assert score == bootstrap(lambda r: float(r.mean()), rows, resamples=200)


def test_extrapolation_is_the_value_of_the_line_at_zero() -> None:
    line = extrapolate([10, 20, 50, 100], [3 + 7 / n for n in (10, 20, 50, 100)])
    assert line.value == pytest.approx(3.0)
    assert line.slope == pytest.approx(7.0)
    assert line.sd < 1e-12


def test_extrapolation_removes_the_bias_of_small_samples() -> None:
    """Both sets come from unit normals 0.1 apart per axis: the true distance is 20 x 0.01."""
    x, y = normal(1000, 20, 1, 0.1), normal(40_000, 20, 2)
    biased = frechet_from_features(x, y).distance

    def distance(rows: np.ndarray) -> float:
        return frechet_from_features(rows, y).distance

    line = frechet_infinity(x, distance, smallest=150)
    assert biased > 0.23
    assert abs(line.value - 0.2) < 0.6 * (biased - 0.2)
    assert line.slope > 0
    assert line == frechet_infinity(x, distance, smallest=150)


def test_bootstrap_and_half_samples_find_the_spread_of_a_mean() -> None:
    """Of n unit normals the mean has the standard deviation 1 / sqrt(n)."""
    x = normal(900, 2, 5)
    for how in (bootstrap, half_sampling):
        found = how(lambda rows: float(rows[:, 0].mean()), x, resamples=200)
        assert found.sd == pytest.approx(1 / 30, rel=0.2)


def test_small_samples_are_named_estimates() -> None:
    assert why_estimate(50_000, 50_000, dim=2048, nominal=50_000) == []
    reasons = why_estimate(2000, 10_000, dim=2048, nominal=50_000)
    assert reasons == [
        "generated n = 2000 is not above the feature dimension 2048",
        "generated n = 2000 is below the nominal 50000",
    ]
