"""Finished weights measured again: samples, features and distance, without training and without anything stored of
their first measurement."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hkd.experiment.extractors import extractors
from hkd.experiment.sample import Sampler
from hkd.metrics.measure import sample_arrays
from hkd.metrics.schema import SCHEMA_VERSION, check_metrics
from hkd.metrics.scoring import FeatureSet, score
from hkd.plan.scores import scores, sizes
from hkd.settings.columns import SCORES
from hkd.store.artifacts import map_arrays, read_json
from hkd.store.records import commit, record_path, versions

if TYPE_CHECKING:
    import torch

    from hkd.plan.runs import Plan

KINDS = ("distance", "fdn", "bootstrap")  # scores that a verdict is made of; libraries are only witnesses
BUDGET = ("params", "train_images", "network_evals", "train_seconds")
RELEASED: dict[str, Any] = {
    "route": "released",
    "budget": dict.fromkeys(BUDGET),
    "settings_digest": "",
}  # of weights from elsewhere without a record, whose training is their source's
UNKNOWN: dict[str, Any] = {**RELEASED, "route": "train"}  # of our own without one: by nothing shown to be long enough


def remeasure(
    plan: Plan,
    dataset: str,
    method: str,
    weights: Path,
    unrecorded: dict[str, Any] = RELEASED,
    *,
    seed: int,
    nfe: int,
    to: torch.device,
    tick: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Return the scores of finished weights as `hkd metrics` writes them, from images that are sampled here and now.

    Args:
        weights: with their config beside them.
        unrecorded: what stands for their record where they have none, RELEASED or UNKNOWN.
        tick: called with the number of images, whenever some are made.
    Raises:
        ArtifactError: weights, reference or extractor are missing or damaged.
    """
    trained = read_json(record_path(weights), "train") if record_path(weights).exists() else unrecorded
    sampling = plan.run(dataset, method).sampling
    content: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "dataset": dataset,
        "method": method,
        "title": plan.title(dataset, method),
        "seed": seed,
        "nfe": nfe,
        "route": trained["route"],
        "diverged_at": trained.get("diverged_at"),
        "scale": plan.benchmark.scale,
        "data_kind": plan.dataset(dataset).data.kind,
        "budget": {key: trained["budget"][key] for key in BUDGET},
        "settings_digest": trained["settings_digest"],
        "codes": trained.get("codes", []),
        "commit": commit(),
        "versions": versions(),
    }
    if content["diverged_at"] is not None:
        return content
    images = _images(Sampler(weights, seed, nfe, to), sampling.n_samples, sampling.batch, tick)
    reference = map_arrays(plan.layout.reference(dataset), "reference")
    names = [name for name in scores(plan, dataset) if SCORES[name].kind in KINDS]
    networks = extractors(plan, dataset, str(to))
    arrays = sample_arrays(images, networks, names, reference, ranges=sampling.ranges)
    numbers = score(
        names,
        FeatureSet(arrays, "sample"),
        FeatureSet(reference, "reference"),
        sizes=sizes(plan, dataset, method),
        ranges=sampling.ranges,
        nominal=sampling.nominal,
    )
    check_metrics(numbers, where=str(weights))
    content["samples_sha256"] = hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()
    return content | {("metrics" if k == "scores" else k): value for k, value in numbers.items() if k != "metric"}


def _images(sampler: Sampler, count: int, batch: int, tick: Callable[[int], None]) -> np.ndarray:
    made = []
    for first in range(0, count, batch):
        made.append(sampler.images(first, min(batch, count - first)))
        tick(len(made[-1]))
    return np.concatenate(made)
