"""Distances on principal components: against singular vectors, closed forms, and the whole distance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.components import principal_components
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.metrics.scores.moments import Gaussian, gaussian_of
from hkd.seeding import numpy_stream


def features(n: int, index: int, spectrum: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """Features (n, D) whose variances along fixed random axes are `spectrum`."""
    d = len(spectrum)
    basis = np.linalg.qr(numpy_stream(0, "basis").standard_normal((d, d)))[0]
    return (numpy_stream(1, "rows", index).standard_normal((n, d)) * np.sqrt(spectrum)) @ basis + shift


SPECTRUM = 0.8 ** np.arange(40)


def test_the_axes_are_those_of_the_singular_vectors():
    rows = features(200, 0, SPECTRUM)
    found = principal_components(gaussian_of(rows), 5)
    _, singular, axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.variances, singular[:5] ** 2 / 199, rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(found.axes * axes[:5], axis=1)), 1.0, rtol=1e-9)
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in found.axes)


def test_on_all_axes_it_is_the_whole_distance():
    real, made = features(300, 0, SPECTRUM[:12]), features(150, 1, SPECTRUM[:12], shift=0.2)
    whole = frechet_from_features(made, real)
    found = principal_components(gaussian_of(real), 12).frechet(made)
    assert found.distance == pytest.approx(whole.distance, rel=1e-9)


def test_a_shift_along_the_first_axis_is_its_square():
    real = features(400, 0, SPECTRUM)
    fitted = principal_components(gaussian_of(real), 4)
    assert fitted.frechet(real).distance == pytest.approx(0.0, abs=1e-9)
    assert fitted.frechet(real + 3.0 * fitted.axes[0]).distance == pytest.approx(9.0, rel=1e-9)


def test_few_images_bias_it_less_than_the_whole_distance():
    flat = np.concatenate((SPECTRUM[:8], np.full(392, 0.05)))  # eight directions that matter and many that do not
    real, alike, shifted = (features(n, i, flat) for n, i in ((1000, 0), (120, 1), (120, 2)))
    fitted = principal_components(gaussian_of(real), 8)
    shifted = shifted + 1.0 * fitted.axes[0]
    seen = fitted.frechet(shifted).distance / fitted.frechet(alike).distance
    drowned = frechet_from_features(shifted, real).distance / frechet_from_features(alike, real).distance
    assert seen > 5 > 1.5 > drowned


def test_the_digest_is_of_origin_and_axes():
    first, again, other = (principal_components(gaussian_of(features(90, i, SPECTRUM)), 3) for i in (0, 0, 1))
    assert first.digest() == again.digest() != other.digest()
    assert len(first.digest()) == 16
    turned = dataclasses.replace(first, axes=first.axes[::-1])
    moved = dataclasses.replace(first, origin=first.origin + 1)
    assert len({first.digest(), turned.digest(), moved.digest()}) == 3


def test_no_more_images_than_components_are_refused_in_one_line():
    with pytest.raises(MetricError, match=r"reference: 5 images, and 5 principal components need more than 5; take"):
        principal_components(gaussian_of(features(5, 0, SPECTRUM)), 5)


def test_a_reference_without_variance_is_refused():
    with pytest.raises(MetricError, match="zero variance"):
        principal_components(Gaussian(9, np.zeros(4), np.zeros((4, 4))), 2).frechet(np.ones((8, 4)))
