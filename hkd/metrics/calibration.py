"""What a difference in the score is worth: real against real, and against known corruptions, in every implementation.

Whoever sees 0.4 more than expected can look up here what causes 0.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hkd.metrics.corruptions import CORRUPTIONS, Corruption
from hkd.metrics.extractor import Extractor, extract
from hkd.metrics.inputs import check_images
from hkd.metrics.measure import check_name
from hkd.metrics.moments import gaussian_of
from hkd.metrics.passes import split_halves
from hkd.metrics.protocols import IMPLEMENTATIONS, needed_classes, peer_distance
from hkd.seeding import numpy_stream

DEFAULT_IMPLEMENTATIONS = ("hkd", "torch-fidelity", "clean-fid", "pytorch-fid", "torchmetrics", "stylegan2-ada")


def calibrate(
    images: np.ndarray,
    labels: np.ndarray | None,
    extractor: Extractor,
    *,
    implementations: Sequence[str] = DEFAULT_IMPLEMENTATIONS,
    corruptions: Mapping[str, Corruption] = CORRUPTIONS,
    splits: int = 3,
    seed: int = 0,
    batch: int = 64,
) -> list[dict[str, Any]]:
    """Return one row per corruption, implementation and random split of real images into two halves.

    The first half is corrupted and scored against the second. Row keys: metric, corruption, implementation,
    preprocessing, split, n, distance, fdn, excess (over the same split without corruption).
    A corruption that needs labels is left out where there are none.
    """
    images = check_images(images)
    metric = check_name(extractor)
    classes = needed_classes(list(implementations))
    rows = []
    for split in range(splits):
        order = numpy_stream(seed, "calibration-split", split).permutation(len(images))
        first, second = split_halves(images, order)
        first_labels = None if labels is None else split_halves(np.asarray(labels), order)[0]
        reference = {name: extract(second, extractor, name, batch=batch) for name in classes}
        traces = {name: float(np.trace(gaussian_of(reference[name]).covariance)) for name in classes}
        clean: dict[str, float] = {}
        for corruption in ("none", *(name for name in corruptions if name != "none")):
            if corruption == "one class dropped" and labels is None:
                continue
            damaged = first if corruption == "none" else corruptions[corruption](first, first_labels, seed)
            features = {name: extract(damaged, extractor, name, batch=batch) for name in classes}
            for name in implementations:
                item = IMPLEMENTATIONS[name]
                kind = item.preprocessing
                distance = peer_distance(features[kind], reference[kind], item.arithmetic)
                clean.setdefault(name, distance)
                rows.append(
                    {
                        "metric": metric,
                        "corruption": corruption,
                        "implementation": name,
                        "preprocessing": kind,
                        "split": split,
                        "n": len(first),
                        "distance": distance,
                        "fdn": 100.0 * distance / traces[kind],
                        "excess": distance - clean[name],
                    }
                )
    return rows
