"""Each corruption does what its name says and nothing else, and the calibration ranks them as it must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hkd.metrics.features.extract import FunctionExtractor, extract
from hkd.metrics.features.inputs import MetricError
from hkd.metrics.protocols import IMPLEMENTATIONS
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.seeding import numpy_stream
from hkd.studies.calibration import corruptions
from hkd.studies.calibration.calibrate import calibrate
from hkd.studies.calibration.corruptions import CORRUPTIONS

LABELS = np.arange(301) % 4


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_bytes_stay_bytes_and_a_seed_repeats(real: np.ndarray, name: str) -> None:
    before = real.copy()
    damaged = CORRUPTIONS[name](real, LABELS, 0)
    assert damaged.dtype == np.uint8 and damaged.shape == real.shape
    assert (damaged == CORRUPTIONS[name](real, LABELS, 0)).all()
    assert (real == before).all()
    assert (damaged == real).all() == (name == "none")


def test_blur_keeps_the_mean_and_lowers_the_variance(real: np.ndarray) -> None:
    weak, strong = corruptions.blur(real, 0.5), corruptions.blur(real, 1.5)
    assert abs(strong.mean() - real.mean()) < 1.0
    assert real.std() > weak.std() > strong.std()


def test_blur_leaves_a_flat_image_flat() -> None:
    flat = np.full((2, 3, 9, 11), 77, np.uint8)
    assert (corruptions.blur(flat, 1.0) == 77).all()


def test_rounding_errors_stay_within_one_level(real: np.ndarray) -> None:
    off = corruptions.off_by_one(real).astype(int) - real
    assert set(np.unique(off)) <= {0, 1} and (off[real < 255] == 1).all()
    truncated = corruptions.truncated(real, 0).astype(int) - real
    assert set(np.unique(truncated)) == {-1, 0}
    assert truncated[real > 0].mean() == pytest.approx(-0.5, abs=0.01)


def test_noise_has_its_standard_deviation() -> None:
    grey = np.full((4, 3, 64, 64), 128, np.uint8)
    assert (corruptions.noise(grey, 8.0, 0).astype(float) - 128).std() == pytest.approx(8.0, rel=0.02)


def test_a_dropped_class_is_gone(real: np.ndarray) -> None:
    left = corruptions.without_class(real, LABELS, dropped=1)
    kept = {image.tobytes() for image in left}
    assert not kept & {image.tobytes() for image in real[LABELS == 1]}
    with pytest.raises(MetricError, match="have no labels"):
        corruptions.without_class(real, None)


def test_duplicates_leave_the_share_asked_for(real: np.ndarray) -> None:
    assert len({image.tobytes() for image in corruptions.duplicated(real, 0.1, 0)}) == 30


def blobs(n: int, resolution: int = 16) -> np.ndarray:
    """Smooth random images with a hard-edged square, so that every blur shows."""
    rng = numpy_stream(11, "blobs", 0)
    y, x = np.mgrid[0:resolution, 0:resolution] / resolution
    phase, tilt, colour = rng.uniform(0, 6, (n, 3, 1, 1)), rng.uniform(-3, 3, (n, 1, 1, 2)), rng.uniform(0, 1, (n, 3))
    waves = 127.5 + 100 * np.sin(6 * (tilt[..., 0] * x + tilt[..., 1] * y)[:, None] + phase)
    corner = rng.integers(0, resolution // 2, (n, 2))
    for image, (top, left), shade in zip(waves, corner, colour, strict=True):
        image[:, top : top + resolution // 3, left : left + resolution // 3] = 255 * shade[:, None, None]
    return np.clip(waves, 0, 255).astype(np.uint8)


def test_calibration_grows_with_the_damage(extractor: FunctionExtractor) -> None:
    rows = calibrate(blobs(301), None, extractor, implementations=["hkd", "clean-fid", "stylegan2-ada"], splits=1)
    excess = {(row["corruption"], row["implementation"]): row["excess"] for row in rows}
    assert excess["none", "hkd"] == 0.0
    assert excess["blur 1 px", "hkd"] > excess["blur 0.5 px", "hkd"] > 0
    assert excess["nine tenths duplicated", "hkd"] > excess["half duplicated", "hkd"] > 0
    assert ("one class dropped", "hkd") not in excess
    assert excess["reference of class C", "hkd"] > 0 < excess["reference of class A", "clean-fid"]
    assert ("reference of class A", "hkd") not in excess
    assert len(rows) == 3 * (len(CORRUPTIONS) - 1) + 3
    assert {row["preprocessing"] for row in rows} == {"A", "C"}


def test_calibration_covers_every_implementation_with_one_pass_per_preprocessing(
    real: np.ndarray, extractor: FunctionExtractor
) -> None:
    passes = []

    def counted(levels: torch.Tensor) -> torch.Tensor:
        passes.append(len(levels))
        return extractor.function(levels)

    rows = calibrate(
        real[:64],
        None,
        replace(extractor, function=counted),
        corruptions={"noise": CORRUPTIONS["noise 8 levels"]},
        splits=2,
    )
    assert {row["implementation"] for row in rows} == set(IMPLEMENTATIONS)
    assert sum(passes) == 2 * 3 * 32 * 4, "C and D are one resize, and this network scales levels itself"
    first = rows[0]
    assert first["distance"] == pytest.approx(
        frechet_from_features(*(extract(half, extractor, "A") for half in halves(real[:64]))).distance
    )


def halves(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = numpy_stream(0, "calibration-split", 0).permutation(len(images))
    return images[np.sort(order[:32])], images[np.sort(order[32:])]
