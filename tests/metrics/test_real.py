"""Real images in the place of generated ones."""

from __future__ import annotations

import numpy as np
import pytest

from hkd.metrics.real import real_distances
from hkd.metrics.scores.frechet import frechet_from_features

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(4000, 8))


def test_more_real_images_are_nearer_and_all_are_near():
    found = real_distances(FEATURES, {20, 200, 1000})
    assert list(found) == [20, 200, 1000]
    few, some, many = (item.fdn for item in found.values())
    assert few > 3 * some > 3 * many > 0 and many < 1


def test_no_image_stands_on_both_sides():
    (found,) = real_distances(FEATURES[:40, :2], {10}).values()
    assert found.n == (10, 30)


def test_sizes_that_say_nothing_are_left_out():
    assert list(real_distances(FEATURES, {8, 9, 1000, 1001})) == [9, 1000]
    assert real_distances(FEATURES[:30], {9}) == {}


def test_a_sorted_reference_gives_what_a_shuffled_one_does():
    classes = np.concatenate([RNG.normal(size=(1000, 8)) + shift for shift in (0, 3, 6, 9)])
    in_order = frechet_from_features(classes[:500], classes[500:]).fdn
    assert real_distances(classes, {500})[500].fdn < 0.1 * in_order


def test_the_same_features_give_the_same_distances():
    once, again = (real_distances(FEATURES, {100})[100].distance for _ in range(2))
    assert once == pytest.approx(again, abs=0)
