"""The values behind bars: means over seeds, what the metric's network reads worst, and fresh real images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hkd.data.kinds import shapes
from hkd.experiment.extractors import trained_extractor
from hkd.metrics.features.extract import extract
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.settings.origins import ConfigError
from hkd.settings.sections import Data
from hkd.store.atomic import write_text
from hkd.store.records import Record
from hkd.studies.bars.plan import Value
from hkd.studies.bars.values import reading, real_vs_real, value_of

DRAWN = Data(kind="shapes", resolution=8, count=10, reference=10, seed=4)
QUALITY = {"class": 0.1, "stripe_orientation": 0.2, "size": 0.9, "centre_x": 0.8}


def stored(tmp_path: Path, *contents: object) -> list[str]:
    """Files with these contents."""
    paths = [tmp_path / f"{number}.json" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(json.dumps(content))
    return [str(path) for path in paths]


def test_a_value_of_runs_is_the_mean_over_seeds(tmp_path):
    files = stored(tmp_path, {"metrics": {"fdn": 1.0}}, {"metrics": {"fdn": 4.0}})
    assert value_of(Value("fdn", {"metrics": files}), DRAWN, 0) == 2.5
    files = stored(tmp_path, {"mse_to_x_eps": [9.0, 1.0]}, {"mse_to_x_eps": [9.0, 2.0]})
    assert value_of(Value("error", {"errors": files}, "1"), DRAWN, 0) == 1.5


def test_the_quality_of_the_network_is_that_of_a_head_or_the_lowest_r2():
    assert reading(QUALITY, "class") == 0.1
    assert reading(QUALITY, "worst_r2") == 0.8, "accuracies are no R²"
    assert reading({"class": 0.1}, "worst_r2") == 1.0
    with pytest.raises(ConfigError, match=r"quality/hue: the metric's network reads class, .*leave the bar out"):
        reading(QUALITY, "hue")


def test_the_quality_is_read_from_the_record_of_the_weights(tmp_path):
    write_text(tmp_path / "weights.safetensors", "")
    Record("extractor").write(tmp_path / "weights.safetensors", quality=QUALITY)
    value = Value("quality", {"extractor": [str(tmp_path / "weights.safetensors")]}, "size")
    assert value_of(value, DRAWN, 0) == 0.9


def test_fresh_images_are_those_that_no_split_has(perceptual, images, tmp_path):
    extractor = trained_extractor(perceptual, "cpu")
    reference = extract(np.load(images / "images.npy"), extractor, "A")
    expected = frechet_from_features(extract(shapes.images(4, "heldout", range(20), 8), extractor, "A"), reference).fdn
    assert real_vs_real(DRAWN, 20, reference, perceptual) == expected
    np.savez(tmp_path / "reference.npz", own_A=reference)
    value = Value("real_vs_real", {"reference": [f"{tmp_path}/reference.npz"], "extractor": [str(perceptual)]})
    assert value_of(value, DRAWN, 20) == expected


def test_data_that_cannot_be_drawn_have_no_fresh_images(perceptual):
    with pytest.raises(ConfigError, match="data of kind 'images' draws no fresh images; leave the bar out"):
        real_vs_real(Data(kind="images", path="x.zip", resolution=8), 20, np.zeros((4, 8)), perceptual)
