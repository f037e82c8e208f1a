"""The kernel distance equals its definition pair by pair, and torch-fidelity's in its subset mode."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.kid import kid, subset_kid
from hkd.seeding import numpy_stream

X = numpy_stream(1, "x").standard_normal((70, 5)).astype(np.float32)
Y = numpy_stream(1, "y").standard_normal((90, 5)).astype(np.float32) * 1.3 + 0.2


def test_it_equals_the_average_over_all_pairs() -> None:
    def mean(a: np.ndarray, b: np.ndarray, skip_same: bool) -> float:
        pairs = [(p @ q / 5 + 1) ** 3 for i, p in enumerate(a) for j, q in enumerate(b) if not (skip_same and i == j)]
        return float(np.mean(pairs))

    x, y = X.astype(float), Y.astype(float)
    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert kid(X, Y) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_the_block_size_does_not_matter(block: int) -> None:
    assert kid(X, Y, block=block) == pytest.approx(kid(X, Y), rel=1e-12)


def test_two_halves_of_one_set_differ_by_about_zero() -> None:
    same = numpy_stream(2, "same").standard_normal((4000, 5))
    assert abs(kid(same[:2000], same[2000:])) < 0.02 * kid(same[:2000], same[2000:] + 1)


@pytest.mark.filterwarnings("ignore")
def test_the_subset_mode_equals_the_number_of_torch_fidelity() -> None:
    module = pytest.importorskip("torch_fidelity.metric_kid")
    theirs = module.kid_features_to_metric(torch.from_numpy(X), torch.from_numpy(Y), kid_subset_size=50, verbose=False)
    ours = subset_kid(X, Y, subset_size=50)
    assert ours.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert ours.sd == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-4)


def test_subsets_larger_than_the_set_are_refused() -> None:
    with pytest.raises(MetricError, match="subsets of 1000 from 70 and 90 rows; lower subset_size"):
        subset_kid(X, Y)
