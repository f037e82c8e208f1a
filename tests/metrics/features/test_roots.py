"""The libraries that take a matrix root work under every scipy: with the argument that 1.18 dropped, and without."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.linalg

from hkd.metrics.features.libraries import (
    clean_fid_distance,
    clean_fid_statistics,
    pytorch_fid_distance,
    pytorch_fid_statistics,
)
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.seeding import numpy_stream

PEERS = {
    "cleanfid.fid": (clean_fid_distance, clean_fid_statistics),
    "pytorch_fid.fid_score": (pytorch_fid_distance, pytorch_fid_statistics),
}


def features(index: int) -> np.ndarray:
    return numpy_stream(0, "roots", index).standard_normal((60, 8)) * np.arange(1, 9)


@pytest.fixture
def strict(monkeypatch) -> None:
    """Scipy's root as 1.18 has it: of a matrix, and of nothing else."""
    whole = scipy.linalg.sqrtm
    monkeypatch.setattr(scipy.linalg, "sqrtm", lambda A: whole(A))


@pytest.mark.parametrize("name", PEERS)
def test_a_library_has_its_number_without_the_dropped_argument(strict, name):
    distance, statistics = PEERS[name]
    made, real = features(0), features(1)
    due = frechet_from_features(made, real).distance
    assert distance(statistics(made), statistics(real)) == pytest.approx(due, rel=1e-6)


@pytest.mark.parametrize("name", PEERS)
def test_the_library_itself_is_left_as_it_was(name):
    module = pytest.importorskip(name)
    before = module.linalg
    distance, statistics = PEERS[name]
    distance(statistics(features(0)), statistics(features(1)))
    assert module.linalg is before
    module.linalg = broken = SimpleNamespace()
    try:
        with pytest.raises(AssertionError, match="different lengths"):
            distance(statistics(features(0)[:, :2]), statistics(features(1)))
        assert module.linalg is broken
    finally:
        module.linalg = before


def test_the_fallback_of_a_singular_product_takes_its_root_too(strict):
    """Both libraries add an offset where the root is not finite, and take it with one argument."""
    calls: list[Any] = []
    whole = scipy.linalg.sqrtm

    def failing_once(matrix: np.ndarray) -> np.ndarray:
        calls.append(matrix)
        return np.full_like(matrix, np.nan) if len(calls) == 1 else whole(matrix)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scipy.linalg, "sqrtm", failing_once)
        found = pytorch_fid_distance(*(pytorch_fid_statistics(features(k)) for k in (0, 1)))
    assert len(calls) == 2 and np.isfinite(found)
