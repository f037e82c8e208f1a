"""Streamed statistics equal those in memory, whatever the batches, shards and order, to the bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.moments import Moments, gaussian_of
from hkd.seeding import numpy_stream

FEATURES = (numpy_stream(5, "rows").standard_normal((333, 6)) * 3 + 100).astype(np.float32)


def streamed(cuts: list[int], order: list[int], chunk: int = 32) -> Moments:
    moments = Moments(6, chunk)
    edges = [0, *sorted(set(cuts)), len(FEATURES)]
    batches = [(a, FEATURES[a:b]) for a, b in pairwise(edges) if b > a]
    for k in sorted(range(len(batches)), key=lambda i: order[i % len(order)]):
        moments.add(batches[k][1], start=batches[k][0])
    return moments


def test_statistics_equal_the_textbook() -> None:
    side = gaussian_of(FEATURES)
    exact = FEATURES.astype(np.float64)
    np.testing.assert_allclose(side.mean, exact.mean(0), rtol=1e-14)
    np.testing.assert_allclose(side.covariance, np.cov(exact, rowvar=False), rtol=1e-11, atol=1e-12)
    assert side.n == 333


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 332), max_size=12), st.lists(st.integers(0, 99), min_size=1, max_size=13))
def test_batches_and_their_order_do_not_change_a_bit(cuts: list[int], order: list[int]) -> None:
    expected = streamed([], [0]).gaussian()
    actual = streamed(cuts, order).gaussian()
    assert (actual.mean == expected.mean).all()
    assert (actual.covariance == expected.covariance).all()


def test_the_last_chunk_does_not_depend_on_the_order_of_its_parts() -> None:
    rows = FEATURES[:100]
    forward, backward = Moments(6, 128), Moments(6, 128)
    for start in range(0, 100, 5):
        forward.add(rows[start : start + 5], start=start)
        backward.add(rows[95 - start : 100 - start], start=95 - start)
    assert (forward.gaussian().covariance == backward.gaussian().covariance).all()
    assert (forward.gaussian().mean == backward.gaussian().mean).all()


def test_memory_stays_logarithmic_in_n() -> None:
    moments = Moments(2, 4)
    for start in range(0, 4 * 1000, 10):
        moments.add(np.ones((10, 2), np.float32) * start)
        assert len(moments._blocks) <= 11 and len(moments._rows) <= 1
    assert moments.n == 4000


def test_an_index_cannot_arrive_twice() -> None:
    moments = streamed([], [0])
    for start in (0, 320, 332):
        with pytest.raises(MetricError, match="arrives twice"):
            moments.add(FEATURES[:1], start=start)


def test_bad_rows_and_counts_are_refused() -> None:
    moments = Moments(6)
    with pytest.raises(MetricError, match="NaN"):
        moments.add(np.full((2, 6), np.nan, np.float32))
    with pytest.raises(MetricError, match=r"expected \(n, 6\), found \(2, 5\)"):
        moments.add(np.zeros((2, 5), np.float32))
    moments.add(FEATURES)
    with pytest.raises(MetricError, match="400 claimed, 333 arrived"):
        moments.gaussian(claimed=400)
    with pytest.raises(MetricError, match="no covariance"):
        Moments(6).gaussian()
