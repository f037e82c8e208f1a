"""Each peer arithmetic equals the library it stands for, and each known offset has its size."""

from __future__ import annotations

import numpy as np
import pytest

from hkd.metrics.features import libraries
from hkd.metrics.protocols import IMPLEMENTATIONS, Arithmetic, needed_classes, peer_distance
from hkd.seeding import numpy_stream


def features(n: int, index: int, dim: int = 24) -> np.ndarray:
    rng = numpy_stream(9, "peer", n, index)
    return (np.maximum(rng.standard_normal((n, dim)), 0) + 30 + 0.05 * index).astype(np.float32)


X, Y = features(400, 1), features(500, 0)
EXACT = peer_distance(X, Y, Arithmetic())


@pytest.mark.parametrize("key", libraries.LIBRARIES)
def test_the_arithmetic_of_a_peer_gives_the_number_of_its_library(key: str) -> None:
    library = libraries.LIBRARIES[key]
    theirs = library.distance(library.statistics(X), library.statistics(Y))
    arithmetic = IMPLEMENTATIONS[library.implementation].arithmetic
    if key == "pytorch_fid":
        theirs = library.distance(*(library.statistics(side.astype(np.float64)) for side in (X, Y)))
    assert peer_distance(X, Y, arithmetic) == pytest.approx(theirs, rel=1e-7)
    assert peer_distance(X, Y, arithmetic, literal=True) == pytest.approx(theirs, rel=1e-7)


def test_a_float32_mean_moves_the_number() -> None:
    gap = abs(peer_distance(X, Y, Arithmetic("float32")) - EXACT) / EXACT
    assert 1e-8 < gap < 1e-3


def test_divisor_n_moves_the_number_by_about_one_over_n() -> None:
    gap = abs(peer_distance(X, Y, Arithmetic(ddof=0)) - EXACT) / EXACT
    assert 1e-5 < gap < 1e-1


def test_the_offset_inside_the_root_biases_low_when_rank_is_short() -> None:
    few_x, few_y = features(20, 1, dim=64), features(20, 0, dim=64)
    exact = peer_distance(few_x, few_y, Arithmetic())
    offset = peer_distance(few_x, few_y, Arithmetic(offset=1e-6))
    assert -1e-2 < (offset - exact) / exact < -1e-5
    assert offset == pytest.approx(peer_distance(few_x, few_y, Arithmetic(offset=1e-6), literal=True), rel=1e-8)


def test_one_pass_per_class_serves_every_implementation() -> None:
    assert needed_classes(["torch-fidelity", "edm", "adm", "stylegan2-ada"]) == ["A"]
    assert needed_classes(list(IMPLEMENTATIONS)) == ["A", "B", "C", "D", "E"]
