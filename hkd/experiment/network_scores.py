"""Scores that need a network of their own beside the extractors: the perceptual diversity of samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hkd.experiment.networks import feature_network, network_skill
from hkd.methods.distances import LPIPS, PerceptualDistance
from hkd.metrics.features.extract import state_digest
from hkd.metrics.scores.diversity import diversity
from hkd.metrics.scoring import ExtractorFacts
from hkd.plan.scores import diversity_of, published
from hkd.store.published import WEIGHTS, locate

if TYPE_CHECKING:
    from hkd.plan.runs import Plan


def perceptual_diversity(plan: Plan, dataset: str) -> dict[str, Any]:
    """Return how the score is made: name -> (facts on the network, function of images)."""
    backbone = diversity_of(plan)
    measured: PerceptualDistance
    if backbone:
        name = f"lpips-{backbone}"
        measured = LPIPS(backbone, locate(name, published(plan, plan.benchmark.extractor).folder), None)
        facts = ExtractorFacts(f"LPIPS-{backbone}", 0, 1, WEIGHTS[name].sha256)
    else:
        weights = Path(plan.layout.extractor(dataset, "perceptual"))
        network = feature_network(weights)
        measured = PerceptualDistance(network, network.maps)
        facts = ExtractorFacts("perceptual-cnn", 0, 1, state_digest(network.state_dict()), **network_skill(weights))

    def distance(a: Any, b: Any) -> Any:
        return measured(a, measured.features(b))

    return {"lpips_diversity": (facts, lambda images: diversity(images, distance).mean)}
