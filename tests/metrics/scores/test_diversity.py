"""Diversity is the mean over pairs of different images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.diversity import diversity


def squared(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).square().mean(dim=(1, 2, 3))


def test_equal_images_have_no_diversity(real: np.ndarray) -> None:
    assert diversity(np.repeat(real[:1], 20, axis=0), squared, pairs=50).mean == 0.0


def test_diversity_is_the_mean_over_pairs_whatever_the_batch(real: np.ndarray) -> None:
    score = diversity(real, squared, pairs=3000)
    unit = real.astype(float).reshape(len(real), -1) / 127.5 - 1
    expected = 2 * unit.var(axis=0, ddof=1).mean()
    assert score.mean == pytest.approx(expected, abs=4 * score.standard_error)
    assert diversity(real, squared, pairs=3000, batch=7).mean == pytest.approx(score.mean, rel=1e-6)


def test_two_images_are_compared_with_each_other() -> None:
    pair = np.stack((np.zeros((3, 4, 4), np.uint8), np.full((3, 4, 4), 255, np.uint8)))
    assert diversity(pair, squared, pairs=10).mean == pytest.approx(4.0)


def test_a_distance_that_fails_is_refused(real: np.ndarray) -> None:
    with pytest.raises(MetricError, match="not finite"):
        diversity(real, lambda a, b: squared(a, b) * float("nan"), pairs=10)
