"""Neighbours against every distance written out, and what painters and repeaters look like."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hkd.seeding import numpy_stream
from hkd.studies.nearest.neighbours import COLUMNS, Measure, line, nearest, said, summary


def rows(n: int, index: int, d: int = 6) -> np.ndarray:
    return numpy_stream(0, "neighbours", index).standard_normal((n, d)).astype(np.float32) + 50.0


def test_neighbours_are_those_of_all_distances_written_out():
    samples, training = rows(40, 0), rows(70, 1)
    apart = np.linalg.norm(samples[:, None].astype(np.float64) - training[None], axis=2)
    found = nearest(samples, training, block=16)
    np.testing.assert_array_equal(found.index, apart.argmin(axis=1))
    np.testing.assert_allclose(found.distance, apart.min(axis=1), rtol=1e-6)
    ordered = np.sort(apart, axis=1)
    np.testing.assert_allclose(found.ratio, ordered[:, 0] / ordered[:, 1:51].mean(axis=1), rtol=1e-5)


def test_a_copy_is_at_distance_0_and_a_held_out_image_is_not_its_own_neighbour():
    training = rows(60, 1)
    taken = np.array([3, 50, 7])
    assert nearest(training[taken], training).distance.max() == 0.0
    held = nearest(training[taken], training, taken, block=2)
    assert held.distance.min() > 0 and not np.any(held.index == taken)


@pytest.fixture(scope="module")
def training() -> np.ndarray:
    return rows(2000, 2)


@pytest.fixture(scope="module")
def measure(training) -> Measure:
    everyone = np.arange(len(training))
    return Measure.of(nearest(training, training, everyone), near=0.05)


def test_the_measure_is_the_share_of_real_images(training, measure):
    held = nearest(training, training, np.arange(len(training)))
    assert float((held.ratio <= measure.within).mean()) == pytest.approx(0.05, abs=1e-3)
    assert measure.median == pytest.approx(float(np.median(held.ratio)))


def test_who_draws_from_the_same_law_has_the_share_of_real_images_and_who_repeats_has_many_more(training, measure):
    painter, repeater = rows(2000, 3), training[:500] + 1e-3 * rows(500, 4)
    fair = line("painter", 1, nearest(painter, training), measure, "own_A")
    caught = line("repeater", 1, nearest(repeater, training), measure, "own_A")
    assert tuple(fair) == COLUMNS
    assert float(str(fair["close"])) == pytest.approx(0.05, abs=0.02) and "copies" not in str(fair["said"])
    assert float(str(caught["close"])) == 1.0 and "20 times as many as of real" in str(caught["said"])
    (sentence, _) = summary([caught, fair])
    assert sentence.startswith("repeater, 1 NFE: 100.0% of 500 samples stick to one training image as 5% of real")


def test_bland_samples_that_all_lie_near_one_training_image_are_no_repeaters(training, measure):
    """Noise, to a network, is one place: whichever training image lies there is the nearest of all of it."""
    bland = 0.02 * (rows(500, 5) - 50.0) + training.mean(axis=0) + 12.0 * np.eye(6)[0]
    found = nearest(bland, training)
    assert len(set(found.index)) < 10
    assert float(str(line("noise", 1, found, measure, "own_A")["close"])) < 0.05


@pytest.mark.parametrize(
    "close, samples, expected",
    [
        (0, 100, "no more than of real"),
        (0, 30, "too few"),  # 1.5 expected of who repeats five times as often: none is chance
        (4, 100, "too few"),
        (45, 1000, "more than of real images, how many is not certain"),
        (9, 100, "9 times"),
        (1, 15, "too few"),  # 7 times the share, and one in seven such rows by chance
        (50, 5000, "no more than of real"),
        (100, 5000, "no sign"),
        (0, 5000, "no more than of real"),
    ],
)
def test_what_is_said_of_a_share(close, samples, expected):
    assert said(close, samples, 0.01, images=7).startswith(expected)


@pytest.mark.parametrize("close, samples", [(3, 40), (9, 100), (0, 90), (2, 200), (3, 300)])
def test_chance_is_that_of_coins_thrown(close, samples):
    """The binomial law, written out."""
    law = [math.comb(samples, k) * 0.05**k * 0.95 ** (samples - k) for k in range(samples + 1)]
    excluded = sum(law[: close + 1]) < 0.01
    assert (said(close, samples, 0.01, 1) != "too few samples to tell") == (excluded or close / samples > 0.05)


def test_the_images_that_close_samples_are_close_to_are_counted_once_each(training, measure):
    near = np.repeat(training[[3, 8]], [30, 10], axis=0) + 1e-3 * rows(40, 6) - 1e-3 * 50
    far = rows(40, 7)[nearest(rows(40, 7), training).ratio > measure.within]
    told = line("collapsed", 1, nearest(np.concatenate([near, far]), training), measure, "own_A")
    assert told["images"] == 2 and "and to 2 training images: look at" in str(told["said"])
    one = line("collapsed", 1, nearest(near[:30], training), measure, "own_A")
    assert one["images"] == 1 and "and to one training image: look at" in str(one["said"])
    assert line("painter", 1, nearest(far, training), measure, "own_A")["images"] == 0
