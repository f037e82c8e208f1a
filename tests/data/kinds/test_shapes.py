from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from hkd.data.kinds import shapes
from hkd.data.kinds.shapes import CLASSES, FACTORS, ORIENTATIONS, SPLITS

GOLDEN = {
    8: "78ff0ec470b0bab5",
    16: "b7aedc4c2152ca6e",
    32: "5bfdc62471d5e9af",
}


def one(**changes: float) -> dict[str, np.ndarray]:
    """Return the factors of one picture, some of them chosen."""
    values = {name: np.asarray([0.5 * (f.low + f.high)]) for name, f in FACTORS.items() if f.kind != "categorical"}
    values |= {name: np.asarray([0]) for name, f in FACTORS.items() if f.kind == "categorical"}
    return values | {name: np.asarray([value]) for name, value in changes.items()}


def inside(**changes: float) -> np.ndarray:
    """Return the share of each pixel that the shape covers: what changes when only its hue does."""
    low, high = (FACTORS["foreground_hue"].low, FACTORS["foreground_hue"].high)
    ends = [shapes.render(one(**changes, foreground_hue=hue), 128)[0].astype(float) for hue in (low, high)]
    change = np.abs(ends[1] - ends[0]).sum(axis=0)
    return change / change.max() > 0.25


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    split=st.sampled_from(SPLITS),
    indices=st.lists(st.integers(0, 10**9), min_size=1, max_size=70),
    cuts=st.lists(st.integers(0, 70), max_size=4),
    resolution=st.sampled_from([8, 11, 16, 24]),
)
def test_an_image_does_not_depend_on_its_batch(seed, split, indices, cuts, resolution):
    whole = shapes.images(seed, split, indices, resolution)
    edges = sorted({0, len(indices), *(cut for cut in cuts if cut < len(indices))})
    parts = [shapes.images(seed, split, indices[a:b], resolution) for a, b in pairwise(edges)]
    assert_array_equal(np.concatenate(parts), whole)
    assert_array_equal(shapes.images(seed, split, indices[::-1], resolution)[::-1], whole)


@pytest.mark.parametrize("resolution", GOLDEN)
def test_the_pictures_are_the_recorded_ones(resolution):
    drawn = shapes.images(0, "train", range(8), resolution)
    assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == GOLDEN[resolution]


def test_seeds_splits_and_indices_give_different_pictures():
    drawn = [shapes.images(seed, split, range(50)) for seed in (0, 1) for split in SPLITS]
    assert len({picture.tobytes() for batch in drawn for picture in batch}) == 300


def test_items_are_the_images_with_their_classes():
    drawn = list(shapes.items(5, "reference", range(70, 170), 8))
    assert_array_equal(np.stack([image for image, _ in drawn]), shapes.images(5, "reference", range(70, 170), 8))
    assert [label for _, label in drawn] == shapes.factors(5, "reference", range(70, 170))["class"].tolist()


def test_factors_fill_their_ranges():
    values = shapes.factors(3, "heldout", range(2000))
    assert list(values) == list(FACTORS)
    for name, factor in FACTORS.items():
        if factor.kind == "categorical":
            assert values[name].dtype == np.int64
            assert np.bincount(values[name]).min() > 420 and values[name].max() == len(factor.names) - 1
        else:
            width = factor.high - factor.low
            assert factor.low <= values[name].min() < factor.low + 0.01 * width
            assert factor.high - 0.01 * width < values[name].max() < factor.high


def test_factors_are_independent():
    values = np.stack([v.astype(float) for v in shapes.factors(0, "train", range(4000)).values()])
    correlation = np.corrcoef(values) - np.eye(len(values))
    assert np.abs(correlation).max() < 0.06


@pytest.mark.parametrize("name", FACTORS)
def test_decode_is_the_inverse_of_encode(name):
    values, factor = shapes.factors(0, "train", range(200))[name], FACTORS[name]
    encoded = factor.encode(values)
    if factor.kind == "categorical":
        encoded = np.eye(factor.outputs)[encoded]
    assert encoded.shape == (200, factor.outputs) and np.abs(encoded).max() <= 1
    assert_allclose(factor.decode(encoded), values, atol=1e-12)


@pytest.mark.parametrize("name", FACTORS)
def test_every_factor_changes_the_picture(name):
    factor = FACTORS[name]
    a, b = (0, 1) if factor.kind == "categorical" else (factor.low, 0.5 * (factor.low + factor.high))
    first, second = (shapes.render(one(**{name: value})).astype(float) for value in (a, b))
    assert np.abs(first - second).mean() > 1


def test_pixels_have_about_the_standard_deviation_sigma_data():
    unit = shapes.images(0, "train", range(2000)) / 127.5 - 1
    assert 0.46 < unit.std() < 0.50
    assert_allclose(unit.std(axis=(0, 2, 3)), unit.std(), rtol=0.03)


@pytest.mark.parametrize("fine", [32, 64])
def test_a_finer_grid_shows_the_same_picture(fine):
    coarse = shapes.images(0, "train", range(64), 16).astype(float)
    block = fine // 16
    averaged = shapes.images(0, "train", range(64), fine).reshape(64, 3, 16, block, 16, block).mean(axis=(3, 5))
    assert np.abs(averaged - coarse).max() < 24
    assert np.abs(averaged - coarse).mean() < 1


def test_a_mirrored_picture_is_the_picture_of_mirrored_factors():
    values = shapes.factors(0, "train", range(64))
    mirrored = dict(values, centre_x=1 - values["centre_x"], gradient_direction=0.5 - values["gradient_direction"])
    upright = values["stripe_orientation"] == 0
    mirrored["stripe_phase"] = np.where(upright, -values["stripe_phase"], values["stripe_phase"])
    mirrored["stripe_orientation"] = (4 - values["stripe_orientation"]) % 4
    difference = shapes.render(mirrored)[..., ::-1].astype(int) - shapes.render(values)
    assert np.abs(difference).max() <= 1  # a byte may round the other way


@pytest.mark.parametrize("size", [0.20, 0.32])
@pytest.mark.parametrize("number", range(len(CLASSES)))
def test_shapes_have_the_area_and_place_they_are_labelled_with(number, size):
    area = {
        "disc": np.pi * size**2,
        "square": (2 * 0.92 * size) ** 2,
        "triangle": np.sqrt(3) / 4 * (2.4 * size) ** 2,
        "ring": np.pi * ((1.06 * size) ** 2 - (0.58 * size) ** 2),
    }[CLASSES[number]]
    mask = inside(**{"class": number}, size=size, centre_x=0.4, centre_y=0.6)
    rows, columns = np.nonzero(mask)
    assert mask.mean() == pytest.approx(area, rel=0.05)
    assert 0.5 * (columns.min() + columns.max() + 1) / 128 == pytest.approx(0.4, abs=0.012)
    assert 0.5 * (rows.min() + rows.max() + 1) / 128 == pytest.approx(0.6, abs=0.012)


def test_the_stripes_direction_can_be_read_from_the_spectrum():
    values = shapes.factors(0, "heldout", range(300))
    grey = shapes.render(values, 32).mean(axis=1) / 255
    position = (np.arange(32) + 0.5) / 32 - 0.5
    window = np.hanning(32)[:, None] * np.hanning(32)
    energy = []
    for turn in range(len(ORIENTATIONS)):
        angle = np.pi / 4 * turn
        phase = (np.cos(angle) * position[None, :] + np.sin(angle) * position[:, None]) / shapes.stripe_period(32)
        energy.append(np.abs((grey * window * np.exp(-2j * np.pi * phase)).sum(axis=(1, 2))))
    assert (np.argmax(energy, axis=0) == values["stripe_orientation"]).mean() > 0.97


def test_the_background_can_be_read_from_the_corners():
    values = shapes.factors(0, "heldout", range(300))
    corners = shapes.render(values, 64)[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].astype(float)
    third = np.exp(2j * np.pi * np.arange(3) / 3)
    hue = np.angle((corners.mean(axis=2) * third).sum(axis=1)) / (2 * np.pi)
    error = (hue - values["background_hue"] + 0.5) % 1 - 0.5
    assert np.abs(error).max() < 0.01
    grey = corners.mean(axis=1)
    right, down = grey[:, 1] + grey[:, 3] - grey[:, 0] - grey[:, 2], grey[:, 2] + grey[:, 3] - grey[:, 0] - grey[:, 1]
    error = (np.arctan2(down, right) / (2 * np.pi) - values["gradient_direction"] + 0.5) % 1 - 0.5
    assert np.abs(error).mean() < 0.05


def test_stripes_are_never_finer_than_the_pixels_can_show():
    assert shapes.stripe_period(16) * 16 == pytest.approx(3.2)
    assert shapes.stripe_period(8) * 8 == pytest.approx(3.2)
    assert shapes.stripe_period(64) == shapes.stripe_period(16)


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="unknown split 'test'"):
        shapes.factors(0, "test", [0])
    with pytest.raises(ValueError, match="8 or more"):
        shapes.images(0, "train", [0], 7)


def test_an_empty_request_gives_an_empty_set():
    assert shapes.images(0, "train", [], 16).shape == (0, 3, 16, 16)
