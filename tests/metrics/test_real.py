"""Real images in the place of generated ones."""

from __future__ import annotations

import numpy as np
import pytest

from hkd.metrics.real import REST, real_scores
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.metrics.scores.kid import kid
from hkd.seeding import numpy_stream

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(4000, 8))
WIDE = RNG.normal(size=(800, 100)) * np.geomspace(3, 0.1, 100)


def fdn(features: np.ndarray, sizes: set[int]) -> dict[int, float]:
    return {n: values["fdn"] for n, values in real_scores({"own_A": features}, ["fdn"], sizes).items()}


def test_more_real_images_are_nearer_and_all_are_near():
    found = fdn(FEATURES, {20, 200, 1000})
    assert list(found) == [20, 200, 1000]
    few, some, many = found.values()
    assert few > 3 * some > 3 * many > 0 and many < 1


def test_no_image_stands_on_both_sides():
    few = FEATURES[:40, :2]
    (found,) = real_scores({"own_A": few}, ["fid_own"], {10}).values()
    drawn = numpy_stream(0, "real").permutation(40)
    apart = frechet_from_features(few[drawn[:10]], few[drawn[10:]])
    assert found["fid_own"] == pytest.approx(apart.distance, rel=1e-12)


def test_sizes_that_say_nothing_are_left_out():
    assert list(fdn(FEATURES, {8, 9, 1000, 1001})) == [9, 1000]
    assert fdn(FEATURES[:30], {9}) == {}


def test_a_sorted_reference_gives_what_a_shuffled_one_does():
    classes = np.concatenate([RNG.normal(size=(1000, 8)) + shift for shift in (0, 3, 6, 9)])
    in_order = frechet_from_features(classes[:500], classes[500:]).fdn
    assert fdn(classes, {500})[500] < 0.1 * in_order


def test_the_same_features_give_the_same_scores():
    once, again = (fdn(FEATURES, {100}) for _ in range(2))
    assert once == again


def test_each_score_is_given_where_so_many_images_can_tell_it():
    names = ["fdn", "fd_effnet64", "kid_effnet", "fd_effnet64_bootstrap", "fid_torch_fidelity", "precision"]
    found = real_scores({"own_A": WIDE, "effnet_C": WIDE}, names, {60, 80, 120, 200, 201})
    assert {n: sorted(values) for n, values in found.items()} == {
        60: ["kid_effnet"],
        80: ["fd_effnet64", "kid_effnet"],
        120: ["fd_effnet64", "fdn", "kid_effnet"],
        200: ["fd_effnet64", "fdn", "kid_effnet"],
    }


@pytest.mark.parametrize("most", [500, REST])
def test_each_score_is_that_of_the_images_taken_out_against_the_rest(monkeypatch, most):
    monkeypatch.setattr("hkd.metrics.real.REST", most)
    drawn = numpy_stream(0, "real").permutation(len(WIDE))
    taken, rest = WIDE[drawn[:200]], WIDE[drawn[200:]]
    axes = np.linalg.svd(rest - rest.mean(axis=0))[2][:64]
    apart = frechet_from_features(taken, rest)
    expected = {
        "fid_own": apart.distance,
        "fdn": 100 * apart.distance / np.trace(np.cov(rest.T)),
        "kid_effnet": kid(taken, rest[:most]),
        "fd_effnet64": frechet_from_features(taken @ axes.T, rest @ axes.T).distance,
    }
    found = real_scores({"own_A": WIDE, "effnet_C": WIDE}, expected, {200})[200]
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_view_of_which_only_moments_are_known_has_no_real_images():
    assert real_scores({"effnet_C_mu": np.zeros(100)}, ["fd_effnet64"], {100}) == {}
