"""The four scores on sets whose answers are known, whatever the block size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.precision_recall import CONVENTIONS, neighbour_radii, precision_recall
from hkd.seeding import numpy_stream

REAL = numpy_stream(0, "real").standard_normal((300, 4)).astype(np.float32)
FAKE = (numpy_stream(0, "fake").standard_normal((250, 4)) * 1.2 + 0.3).astype(np.float32)


def test_a_collapsed_generator_is_precise_without_recall() -> None:
    near_one = REAL[:1] + 1e-3 * numpy_stream(0, "collapse").standard_normal((200, 4)).astype(np.float32)
    score = precision_recall(near_one, REAL)
    assert score.precision > 0.95
    assert score.recall < 0.02
    assert score.coverage < 0.1
    assert score.density > 0.5


def test_a_memoriser_has_the_best_of_all_four_scores() -> None:
    score = precision_recall(REAL, REAL)
    assert (score.precision, score.recall, score.coverage) == (1.0, 1.0, 1.0)
    assert score.density == pytest.approx(1.0, abs=0.05)


def test_a_memoriser_of_one_half_is_precise_and_covers_what_it_knows() -> None:
    score = precision_recall(REAL[:150], REAL)
    assert score.precision == 1.0
    assert 0.5 < score.coverage < 1.0


def test_a_scattered_generator_recalls_without_precision() -> None:
    score = precision_recall(FAKE * 20, REAL)
    assert score.precision < 0.1 < 0.9 < score.recall


def test_distant_sets_score_zero() -> None:
    score = precision_recall(REAL + 100, REAL)
    assert (score.precision, score.recall, score.density, score.coverage) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_it_equals_the_definition_whatever_the_block_size(convention: str) -> None:
    manifold = CONVENTIONS[convention]
    x, y = FAKE.astype(float), REAL.astype(float)

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.norm(a[:, None] - b[None], axis=2)

    radius_x, radius_y = (np.sort(distances(s, s), axis=1)[:, manifold.k] for s in (x, y))
    between = distances(x, y)
    compare = np.less_equal if manifold.inclusive else np.less
    inside_real, inside_fake = compare(between, radius_y[None]), compare(between, radius_x[:, None])
    score = precision_recall(FAKE, REAL, convention, block=37)
    assert score.precision == inside_real.any(1).mean()
    assert score.recall == inside_fake.any(0).mean()
    assert score.density == pytest.approx(inside_real.sum(1).mean() / manifold.k)
    assert score.coverage == inside_real.any(0).mean()
    assert precision_recall(FAKE, REAL, convention) == score


@pytest.mark.filterwarnings("ignore")
def test_it_equals_the_number_of_torch_fidelity() -> None:
    module = pytest.importorskip("torch_fidelity.metric_prc")
    theirs = module.prc_features_to_metric(torch.from_numpy(FAKE), torch.from_numpy(REAL), verbose=False)
    ours = precision_recall(FAKE, REAL, "torch-fidelity")
    assert ours.precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert ours.recall == pytest.approx(theirs["recall"], abs=1e-6)


def test_radii_leave_out_the_point_itself_also_among_duplicates() -> None:
    points = np.array([[0.0], [0.0], [0.0], [5.0]])
    np.testing.assert_allclose(neighbour_radii(points, 1, block=2), [0, 0, 0, 25])
    np.testing.assert_allclose(neighbour_radii(points, 3, block=2), [25, 25, 25, 25])


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(MetricError, match="5 rows have no neighbour number 5; sample more"):
        precision_recall(FAKE[:5], REAL)
