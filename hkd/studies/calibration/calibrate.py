"""Scores of real images against real images, clean and with known corruptions, in every implementation.

They show how large a difference in the score each mistake causes, so that the cause of a difference can be looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hkd.data.image_set import ImageSet
from hkd.data.sources import shuffled_subset
from hkd.metrics.features.cache import split_halves
from hkd.metrics.features.extract import Extractor, extract
from hkd.metrics.features.inputs import check_images
from hkd.metrics.features.preprocess import CLASSES
from hkd.metrics.measure import check_name
from hkd.metrics.protocols import IMPLEMENTATIONS, needed_classes, peer_distance
from hkd.seeding import numpy_stream
from hkd.studies.calibration.corruptions import CORRUPTIONS, Corruption

KEYS = ("metric", "corruption", "implementation", "preprocessing", "split", "n", "distance", "fdn", "excess")


def calibrate(
    images: np.ndarray,
    labels: np.ndarray | None,
    extractor: Extractor,
    *,
    implementations: Sequence[str] = tuple(IMPLEMENTATIONS),
    corruptions: Mapping[str, Corruption] = CORRUPTIONS,
    splits: int = 3,
    seed: int = 0,
    batch: int = 64,
) -> list[dict[str, Any]]:
    """Return one row per corruption, implementation and random split of real images into two halves.

    The first half is corrupted and scored against the second. One more kind of mistake is not a corruption of images:
    `reference of class X` scores clean images in the class of the implementation against features of another class.
    The keys of a row are KEYS; `excess` is the distance less that of the same split without a mistake. A corruption
    that needs labels is left out where there are none.
    """
    images = check_images(images)
    about = {"metric": check_name(extractor)}
    classes = needed_classes(list(implementations))
    rows: list[dict[str, Any]] = []
    for split in range(splits):
        order = numpy_stream(seed, "calibration-split", split).permutation(len(images))
        first, second = split_halves(images, order)
        first_labels = None if labels is None else split_halves(np.asarray(labels), order)[0]
        reference = _features(second, extractor, classes, batch)
        clean: list[dict[str, Any]] = []
        for corruption in ("none", *(name for name in corruptions if name != "none")):
            if corruption == "one class dropped" and labels is None:
                continue
            damaged = first if corruption == "none" else corruptions[corruption](first, first_labels, seed)
            features = _features(damaged, extractor, classes, batch)
            found = _scored(corruption, implementations, features, reference)
            if corruption == "none":
                clean = found
                for other in classes:
                    mixed = dict.fromkeys(classes, reference[other])
                    others = [name for name in implementations if IMPLEMENTATIONS[name].preprocessing != other]
                    found = found + _scored(f"reference of class {other}", others, features, mixed)
            floor = {row["implementation"]: row["distance"] for row in clean}
            facts = about | {"split": split, "n": len(first)}
            rows += [facts | row | {"excess": row["distance"] - floor[row["implementation"]]} for row in found]
    return [{key: row[key] for key in KEYS} for row in rows]


def _scored(
    mistake: str, names: Sequence[str], features: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Return the distance of features to reference features of its class in each implementation."""
    found = []
    for name in names:
        kind = IMPLEMENTATIONS[name].preprocessing
        distance = peer_distance(features[kind], reference[kind], IMPLEMENTATIONS[name].arithmetic)
        fdn = 100.0 * distance / float(reference[kind].var(axis=0, ddof=1, dtype=np.float64).sum())
        about = {"corruption": mistake, "implementation": name, "preprocessing": kind}
        found.append(about | {"distance": distance, "fdn": fdn})
    return found


def _features(images: np.ndarray, extractor: Extractor, classes: Sequence[str], batch: int) -> dict[str, np.ndarray]:
    """Return the features of each class.

    Classes that differ in the value map alone share features if the extractor has a value map of its own.
    """
    found: dict[tuple[str, float], np.ndarray] = {}
    out = {}
    for name in classes:
        seen = (CLASSES[name].resize, CLASSES[name].centre if extractor.value_map == "class" else 0.0)
        if seen not in found:
            found[seen] = extract(images, extractor, name, batch=batch)
        out[name] = found[seen]
    return out


def of_image_set(folder: Path, extractor: Extractor, *, images: int, splits: int) -> list[dict[str, Any]]:
    """Return the rows of `calibrate` for at most `images` of a prepared set, in a seeded order.

    Raises:
        ArtifactError: the set is missing or damaged.
    """
    stored = ImageSet(folder)
    stored.verify()
    kept = np.sort(shuffled_subset(0, len(stored), min(images, len(stored))))
    labels = None if stored.class_numbers is None else np.asarray(stored.class_numbers)[kept]
    return calibrate(np.asarray(stored.pixels)[kept], labels, extractor, splits=splits)


def six_digits(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with their numbers as text of six significant digits."""
    return [{k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
