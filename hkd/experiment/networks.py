"""Feature networks that the workflow has trained, from their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hkd.nets.cnn import FeatureCNN
from hkd.store import bounded
from hkd.store.artifacts import load_weights, weights_about
from hkd.store.lines import reason
from hkd.store.refusals import ArtifactError

FACTS: dict[str, Any] = {"network": dict, "name": str}
SIZES: dict[str, Any] = {"width": int, "image_size": int, "heads": dict, "seed": int, "features": int}


def feature_network(weights: Path) -> Any:
    """Return a feature network with its finished weights, in evaluation mode.

    Raises:
        ArtifactError: they are missing or damaged, or are not of the network that their header describes.
    """
    state, described = load_weights(weights, "extractor"), network_facts(weights)["network"]
    try:
        # without memory first: sizes that a header states are held against the weights before anything is made of them
        with torch.device("meta"):
            shapes = {name: value.shape for name, value in FeatureCNN(**described).state_dict().items()}
        if shapes != {name: value.shape for name, value in state.items()}:
            raise bounded.Damaged("its tensors are not those of the network in its header")
        built = FeatureCNN(**described)
        built.load_state_dict(state)
    except (ValueError, RuntimeError, TypeError) as error:
        raise _damaged(weights, error) from None
    return built.eval().requires_grad_(False)


def network_skill(weights: Path) -> dict[str, Any]:
    """Return how well the network reads held-out images, as facts of an extractor; none of shipped weights."""
    about = weights_about(weights)
    return {fact: about[fact] for fact in ("skill", "reads") if fact in about}


def network_facts(weights: Path) -> dict[str, Any]:
    """Return what the header of such weights says: the `network`'s arguments, and the `name` of distances through it.

    Raises:
        ArtifactError: it says nothing of the kind.
    """
    try:
        facts = bounded.check_fields(weights_about(weights), FACTS)
        described = bounded.check_fields(facts["network"], SIZES, optional=("features",))
        counts = [*described["heads"].values(), *(described[key] for key in ("width", "image_size", "seed"))]
        if described.keys() - SIZES.keys() or not all(type(count) is int and 0 <= count < 2**31 for count in counts):
            raise bounded.Damaged("its header describes no network of ours")
    except bounded.Damaged as error:
        raise _damaged(weights, error) from None
    return facts


def _damaged(weights: Path, error: Exception) -> ArtifactError:
    return ArtifactError(f"{weights}: not a feature network ({reason(error)}); delete it and run `hkd extractor` again")
