"""MIND is optimal transport in one dimension, its closed forms in more, and the same of turned features."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.mind import PROJECTIONS, SEED, describe, directions, mind
from hkd.seeding import numpy_stream


def normal(n: int, d: int, index: int) -> np.ndarray:
    return numpy_stream(3, "mind-test", index).standard_normal((n, d))


def test_a_shift_in_one_dimension_is_three_times_its_square_as_scipy_measures_it():
    x = normal(300, 1, 0)
    for shift in (0.25, 4.0):
        moved = x + shift
        assert mind(moved, x) == pytest.approx(3 * wasserstein_distance(moved[:, 0], x[:, 0]) ** 2, rel=1e-12)
        assert mind(moved, x) == pytest.approx(3 * shift**2, rel=1e-12)


def test_in_one_dimension_it_is_the_cheapest_assignment_and_no_less_than_the_first_distance_squared():
    x, y = normal(60, 1, 1), np.exp(normal(60, 1, 2))
    costs = np.square(x - y.T)
    cheapest = costs[linear_sum_assignment(costs)].mean()
    assert mind(x, y) == pytest.approx(3 * cheapest, rel=1e-12)
    assert mind(x, y) > 3 * wasserstein_distance(x[:, 0], y[:, 0]) ** 2


def test_along_each_direction_it_is_the_cheapest_assignment():
    x, y = normal(40, 5, 3), 2 * normal(40, 5, 4) + 1
    found = []
    for u in directions(5, projections=20, seed=7):
        costs = np.square((x @ u)[:, None] - (y @ u)[None])
        found.append(costs[linear_sum_assignment(costs)].mean())
    assert mind(x, y, projections=20, seed=7) == pytest.approx(3 * 5 * np.mean(found), rel=1e-12)


def test_the_same_rows_in_another_order_are_at_no_distance_and_sides_may_be_swapped():
    x, y = normal(200, 6, 5), normal(200, 6, 6) + 0.5
    assert mind(x, x[::-1]) == 0.0
    assert mind(x, y) == mind(y, x) > 0


def test_a_shift_is_on_average_three_times_its_square_and_exact_along_the_drawn_directions():
    x, shift = normal(150, 8, 7), normal(1, 8, 8)
    exact = 3 * 8 * np.square(directions(8) @ shift[0]).mean()
    assert mind(x + shift, x) == pytest.approx(exact, rel=1e-10)
    assert exact == pytest.approx(3 * np.square(shift).sum(), rel=0.1)


def test_normal_features_have_the_sliced_distance_of_their_covariances():
    n, d = 20_000, 4
    wide, narrow = np.array([4.0, 1.0, 0.25, 2.0]), np.array([1.0, 1.0, 1.0, 0.1])
    x, y = normal(n, d, 9) * np.sqrt(wide), normal(n, d, 10) * np.sqrt(narrow)
    squares = np.square(directions(d, projections=100))
    exact = 3 * d * np.square(np.sqrt(squares @ wide) - np.sqrt(squares @ narrow)).mean()
    assert mind(x, y, projections=100) == pytest.approx(exact, rel=0.03)


def test_turned_features_have_the_same_distance_on_average():
    x, y = normal(100, 6, 11), normal(100, 6, 12) * np.linspace(0.2, 2, 6) + 0.3
    turn = np.linalg.qr(normal(6, 6, 13))[0]
    plain, turned = ([mind(x @ m, y @ m, projections=100, seed=seed) for seed in range(60)] for m in (np.eye(6), turn))
    error = np.hypot(np.std(plain), np.std(turned)) / np.sqrt(60)
    assert abs(np.mean(plain) - np.mean(turned)) < 4 * error < 0.1 * np.mean(plain)


def test_of_the_larger_set_a_random_part_counts_whichever_side_it_is_on():
    few, many = normal(100, 4, 14), normal(4000, 4, 15)
    many = many[many[:, 0].argsort()]  # its first rows are far from its mean
    assert mind(few, many) == mind(few, many) < 0.1 * mind(few, many[:100])
    assert mind(many, few) == pytest.approx(mind(few, many), rel=1e-12)


def test_the_directions_are_unit_vectors_of_a_pinned_seed():
    drawn = directions(7)
    assert drawn.shape == (PROJECTIONS, 7) and SEED == 0
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(drawn, directions(7))
    assert (drawn != directions(7, seed=1)).any()
    assert describe(64) == "1,000 random directions of seed 0 (e96c5667fd61)"


@pytest.mark.parametrize(
    ("x", "y", "projections", "message"),
    [
        (normal(9, 3, 0), normal(9, 4, 0), 10, "dimension 4 where 3 is due"),
        (normal(9, 3, 0), normal(9, 3, 1) * np.nan, 10, "9 of 9 rows hold NaN"),
        (normal(9, 3, 0), normal(9, 3, 1), 0, "mind: 0 projections; take 1 or more"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(x, y, projections, message):
    with pytest.raises(MetricError, match=message):
        mind(x, y, projections=projections)
