"""The feature networks that a benchmark's scores look through, from their files."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hkd.experiment.networks import feature_network, network_facts, network_skill
from hkd.metrics.features.cache import FeatureCache
from hkd.metrics.features.extract import FunctionExtractor, state_digest
from hkd.metrics.scoring import weakness
from hkd.plan.code import code_digest
from hkd.plan.scores import DIVERSITY, NETWORKS, OWN, bar, extractor_names, published, scores
from hkd.store.artifacts import weights_about

if TYPE_CHECKING:
    from hkd.metrics.features.extract import Extractor
    from hkd.plan.runs import Plan

# what a feature depends on beside the images and the weights: entries made by other code are ignored
PASSES = ("hkd.metrics.features.extract", "hkd.metrics.features.libraries", "hkd.nets.cnn", *NETWORKS.values())


def extractors(plan: Plan, dataset: str, device: str) -> dict[str, Extractor]:
    """Return the networks behind the scores that the tables on a data set show, by their name in views."""
    return {own: _extractor(plan, dataset, name, device) for own, name in extractor_names(plan, dataset).items()}


def _extractor(plan: Plan, dataset: str, name: str, device: str) -> Extractor:
    if name in OWN:
        return trained_extractor(Path(plan.layout.extractor(dataset, name)), device)
    settings = published(plan, name)
    made: Extractor = importlib.import_module(NETWORKS[settings.kind]).extractor(settings, device)
    return made


def trained_extractor(weights: Path, device: str) -> Extractor:
    """Return the network that the workflow has trained, with these weights, as an extractor."""
    network = feature_network(weights).to(device)
    return FunctionExtractor(
        name=network_facts(weights)["name"],
        input_size=network.image_size,
        dim=network.penultimate.out_features,
        digest=state_digest(network.state_dict()),
        function=network.features,
        device=device,
        further=network.layers,
        **network_skill(weights),
    )


def doubt(plan: Plan, dataset: str, role: str = "") -> str:
    """Return why numbers of a network, by default that of scores, are estimates, if it was trained here and is below
    its bar."""
    limit = bar(plan, dataset, role)
    about = weights_about(plan.layout.extractor(dataset, role or plan.benchmark.extractor)) if limit else {}
    return weakness(about["name"], about["skill"], about["reads"], limit) if "skill" in about else ""


def networks_beside(plan: Plan, dataset: str) -> dict[str, Any]:
    """Return how the scores that need a network of their own are made: name -> (facts, function of images)."""
    if "lpips_diversity" not in scores(plan, dataset):
        return {}
    found: dict[str, Any] = importlib.import_module(DIVERSITY).perceptual_diversity(plan, dataset)
    return found


def feature_cache(plan: Plan) -> FeatureCache:
    """Return the cache of features beside the results."""
    return FeatureCache(plan.layout.feature_cache, code_digest(*PASSES))
