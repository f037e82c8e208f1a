"""Input that must not be scored is refused in one line that names the remedy."""

from __future__ import annotations

import numpy as np
import pytest

from hkd.metrics.features.inputs import MetricError, check_features, check_images, images_digest

GOOD = np.arange(4 * 3 * 8 * 8, dtype=np.uint8).reshape(4, 3, 8, 8)


def test_good_images_pass_unchanged() -> None:
    assert check_images(GOOD, claimed=4) is GOOD


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GOOD / 255.0, r"expected uint8 bytes, found float64 in \[0, 1\]; save bytes"),
        (GOOD.astype(np.int64), r"expected uint8 bytes, found int64 in \[0, 255\]"),
        (2.0 * GOOD / 255.0 - 1.25, r"found float64 in \[-1.25, 0.75\]; save bytes \(uint8\), 0 to 255"),
        (GOOD.astype(np.int16) - 300, r"expected uint8 bytes, found int16 in \[-300, -45\]"),
        (np.full(GOOD.shape, np.nan), r"expected uint8 bytes, found float64 in \[nan, nan\]"),
        (GOOD.transpose(0, 2, 3, 1), r"found \(4, 8, 8, 3\); transpose NHWC to NCHW"),
        (GOOD[:, :1], r"found \(4, 1, 8, 8\); repeat grey channels to 3"),
        (GOOD[:, :1].transpose(0, 2, 3, 1), r"found \(4, 8, 8, 1\); repeat grey channels to 3"),
        (GOOD[:, 0], r"found \(4, 8, 8\); repeat grey images as three channels: np.stack\(\(array,\) \* 3, axis=1\)"),
        (GOOD[0], r"found \(3, 8, 8\); give at least 2 images in one array of four dimensions"),
        (GOOD[None], r"found \(1, 4, 3, 8, 8\); give at least 2 images in one array of four dimensions"),
        (np.resize(GOOD, (4, 8, 8, 4)), r"found \(4, 8, 8, 4\); lay transparent images on white"),
        (GOOD[:, :2], r"found \(4, 2, 8, 8\); save their red, green and blue as three channels"),
        (GOOD[:1], "1 image.* have no covariance; give or sample at least 2"),
        (np.full_like(GOOD, 7), "all 4 images are one constant colour; the sampler has failed"),
    ],
)
def test_bad_images_are_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(MetricError, match=message) as error:
        check_images(images)
    assert "\n" not in str(error.value)


def test_grey_images_are_taken_as_advised() -> None:
    array = GOOD[:, 0]
    assert check_images(np.stack((array,) * 3, axis=1)).shape == GOOD.shape


def test_one_varied_image_is_enough_to_not_be_constant() -> None:
    images = np.full_like(GOOD, 7)
    images[2, 0, 3, 3] = 8
    check_images(images)


def test_a_repeated_image_is_not_a_constant_one() -> None:
    check_images(np.repeat(GOOD[:1], 4, axis=0))


def test_bad_features_are_refused() -> None:
    rows = np.zeros((5, 3), np.float32)
    rows[3, 1] = np.inf
    with pytest.raises(MetricError, match="1 of 5 rows hold NaN or infinity, the first is row 3"):
        check_features(rows)
    with pytest.raises(MetricError, match="expected float features"):
        check_features(np.zeros((5, 3), np.uint8))


def test_a_corrupt_byte_changes_the_digest() -> None:
    changed = GOOD.copy()
    changed[1, 2, 3, 4] ^= 1
    assert images_digest(changed) != images_digest(GOOD)
    assert images_digest(GOOD[:, :, ::-1]) == images_digest(np.ascontiguousarray(GOOD[:, :, ::-1]))
