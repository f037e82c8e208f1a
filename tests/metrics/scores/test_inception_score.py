"""The score has its closed forms, and equals torch-fidelity's on the same logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.inception_score import inception_score
from hkd.seeding import numpy_stream

LOGITS = numpy_stream(0, "logits").standard_normal((103, 12)).astype(np.float32) * 4


def test_certain_and_even_predictions_score_the_number_of_classes() -> None:
    logits = np.tile(np.eye(7) * 200.0, (10, 1))
    assert inception_score(logits, splits=1, shuffle_seed=None).mean == pytest.approx(7.0)


def test_equal_predictions_score_one() -> None:
    assert inception_score(np.tile(LOGITS[:1], (50, 1))).mean == pytest.approx(1.0)


def test_it_equals_the_number_of_torch_fidelity() -> None:
    module = pytest.importorskip("torch_fidelity.metric_isc")
    theirs = module.isc_features_to_metric(torch.from_numpy(LOGITS))
    ours = inception_score(LOGITS)
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert ours.sd == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_sorted_classes_without_a_shuffle_score_lower() -> None:
    by_class = np.repeat(np.eye(10) * 20.0, 10, axis=0)
    shuffled = inception_score(by_class).mean
    assert inception_score(by_class, shuffle_seed=None).mean < 0.5 * shuffled


def test_fewer_images_than_splits_are_refused() -> None:
    with pytest.raises(MetricError, match="5 images in 10 splits"):
        inception_score(LOGITS[:5])
