"""The values that bars hold against limits: means over seeds, the metric's network, and the metric's own noise."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hkd.data.kinds import kind
from hkd.experiment.extractors import trained_extractor
from hkd.metrics.features.extract import extract
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.settings.origins import ConfigError
from hkd.settings.sections import Data
from hkd.store.artifacts import map_arrays, read_json
from hkd.store.records import read_record

if TYPE_CHECKING:
    from hkd.studies.bars.plan import Value

ACCURACIES = ("class", "stripe_orientation", "label", "rotation")  # all other qualities of the network are R²
WORST = "worst_r2"


def value_of(value: Value, data: Data, real_images: int) -> float:
    """Return a value from its files; what is of a run is the mean over its seeds.

    Args:
        data, real_images: how fresh images are drawn, and how many, where the value is of real ones.
    Raises:
        ArtifactError: a file is missing or damaged.
        ConfigError: see `reading` and `real_vs_real`.
    """
    if value.kind == "fdn":
        return statistics.mean(read_json(path, "metrics")["metrics"]["fdn"] for path in value.inputs["metrics"])
    if value.kind == "error":
        contents = [read_json(path, "trajectory-error") for path in value.inputs["errors"]]
        return statistics.mean(content["mse_to_x_eps"][int(value.part)] for content in contents)
    (extractor,) = value.inputs["extractor"]
    if value.kind == "quality":
        return reading(read_record(extractor, "extractor")["quality"], value.part)
    (reference,) = value.inputs["reference"]
    return real_vs_real(data, real_images, map_arrays(reference, "reference")["own_A"], Path(extractor))


def reading(quality: Mapping[str, float], head: str) -> float:
    """Return how well a head of the metric's network reads: its accuracy, or R²; of `worst_r2` the lowest R².

    Raises:
        ConfigError: the network has no such head.
    """
    if head == WORST:
        return min((value for name, value in quality.items() if name not in ACCURACIES), default=1.0)
    if head not in quality:
        raise ConfigError(f"bar of quality/{head}: the metric's network reads {', '.join(quality)}; leave the bar out")
    return quality[head]


def real_vs_real(data: Data, count: int, reference: np.ndarray, extractor: Path) -> float:
    """Return FDn of fresh images, which no split has, against the reference: the metric's own noise.

    Raises:
        ConfigError: images of this kind of data cannot be drawn.
    """
    drawn = kind(data.kind)
    if not hasattr(drawn, "images") or data.resolution is None:
        raise ConfigError(f"bar of real_vs_real: data of kind '{data.kind}' draws no fresh images; leave the bar out")
    fresh = drawn.images(data.seed, "heldout", range(count), data.resolution)
    return frechet_from_features(extract(fresh, trained_extractor(extractor, "cpu"), "A"), reference).fdn
