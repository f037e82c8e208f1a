"""The feature networks that a profile's scores look through, from their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hkd.plan.runs import Plan
from hkd.plan.scores import OWN, diversity_of, eye_names, published, scores
from hkd.store.published import WEIGHTS, locate

if TYPE_CHECKING:
    from hkd.metrics.features.cache import FeatureCache
    from hkd.metrics.features.extract import Extractor


def eyes(chosen: Plan, dataset: str, device: str) -> dict[str, Extractor]:
    """Return the networks behind the scores that the profile's tables on a data set show, by their name in views."""
    return {eye: _eye(chosen, dataset, name, device) for eye, name in eye_names(chosen, dataset).items()}


def beside(chosen: Plan, dataset: str, device: str) -> dict[str, Any]:
    """Return how the scores that need a network of their own are made: name -> (facts, function of images)."""
    if "lpips_diversity" not in scores(chosen, dataset):
        return {}
    from hkd.methods.distances import LPIPS, PerceptualDistance
    from hkd.metrics.scores.diversity import diversity
    from hkd.metrics.scoring import ExtractorFacts

    backbone = diversity_of(chosen)
    measured: PerceptualDistance
    if backbone:
        name = f"lpips-{backbone}"
        measured = LPIPS(backbone, locate(name, published(chosen, chosen.profile.extractor).folder), None)
        facts = ExtractorFacts(f"LPIPS-{backbone}", 0, 1, WEIGHTS[name].sha256)
    else:
        from hkd.experiment.build import feature_network
        from hkd.metrics.features.extract import state_digest

        network = feature_network(Path(chosen.layout.extractor(dataset, "perceptual")))
        measured = PerceptualDistance(network, network.maps)
        facts = ExtractorFacts("perceptual-cnn", 0, 1, state_digest(network.state_dict()))

    def distance(a: Any, b: Any) -> Any:
        return measured(a, measured.features(b))

    return {"lpips_diversity": (facts, lambda images: diversity(images, distance).mean)}


def _eye(chosen: Plan, dataset: str, name: str, device: str) -> Extractor:
    if name in OWN:
        return extractor_of(Path(chosen.layout.extractor(dataset, name)), device)
    from hkd.experiment.build import device as pick
    from hkd.metrics.features import inception, vit

    settings, to = published(chosen, name), str(pick(device))
    if settings.kind == "random-inception":
        return inception.random_inception(settings.seed, device=to)
    path = Path(settings.folder) / WEIGHTS[settings.weights].filename
    if settings.kind == "inception":
        return inception.published_inception(path, device=to)
    make = vit.dinov2_extractor if settings.kind == "dinov2" else vit.clip_extractor
    return make(path, name=settings.weights, device=to)


def extractor_of(weights: Path, device: str) -> Extractor:
    """Return the metric network whose weights these are, as an extractor."""
    from hkd.experiment.build import device as pick
    from hkd.experiment.build import feature_network
    from hkd.metrics.features.extract import FunctionExtractor, state_digest
    from hkd.store.artifacts import weights_about

    to = pick(device)
    network = feature_network(weights).to(to)
    return FunctionExtractor(
        name=weights_about(weights)["name"],
        input_size=network.image_size,
        dim=network.penultimate.out_features,
        digest=state_digest(network.state_dict()),
        function=network.features,
        device=str(to),
        further=network.layers,
    )


def feature_cache(chosen: Plan) -> FeatureCache:
    """Return the cache of features beside the results."""
    from hkd.metrics.features.cache import FeatureCache
    from hkd.plan.scores import pass_code

    return FeatureCache(Path(f"{chosen.layout.root}/feature_cache"), pass_code())
