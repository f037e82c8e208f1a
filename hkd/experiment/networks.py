"""Feature networks that the workflow has trained, from their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hkd.nets.cnn import FeatureCNN
from hkd.store.artifacts import load_weights, weights_about


def feature_network(weights: Path) -> Any:
    """Return a feature network with its finished weights, in evaluation mode."""
    state = load_weights(weights, "extractor")
    built = FeatureCNN(**weights_about(weights)["network"])
    built.load_state_dict(state)
    return built.eval().requires_grad_(False)


def network_skill(weights: Path) -> dict[str, Any]:
    """Return how well the network reads held-out images, as facts of an extractor; none of shipped weights."""
    about = weights_about(weights)
    return {fact: about[fact] for fact in ("skill", "reads") if fact in about}
