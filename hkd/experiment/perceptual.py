"""The feature networks that a run is trained with: of its perceptual distance, or the one that grades."""

from __future__ import annotations

from pathlib import Path

import torch

from hkd.experiment.networks import feature_network
from hkd.methods.distances import LPIPS, FeatureVectors, PerceptualDistance
from hkd.metrics.features.preprocess import CLASSES
from hkd.nets.efficientnet import EfficientNetLite0
from hkd.settings.sections import Run
from hkd.store.packaged import EFFNET, located
from hkd.store.published import BACKBONES, locate


def perceptual(run: Run, weights: Path | None) -> PerceptualDistance:
    """Return the perceptual distance of a run: the data set's own small network, EfficientNet-Lite0, or LPIPS.

    Raises:
        ArtifactError: the weights are absent or others than the recorded or published ones.
    """
    if run.perceptual_backbone == "cnn":
        assert weights is not None
        network = feature_network(weights)
        return PerceptualDistance(network, network.maps, run.perceptual_resize)
    if run.perceptual_backbone == "effnet":
        state = torch.load(located(EFFNET), map_location="cpu", weights_only=True)
        photographs = EfficientNetLite0(state)
        return PerceptualDistance(photographs, photographs.maps, run.perceptual_resize)
    name = BACKBONES[run.perceptual_backbone]
    path, backbone = locate(name, run.weights_folder), name.removeprefix("lpips-")
    return LPIPS(backbone, path, run.perceptual_resize, average=run.perceptual_backbone == "piq-vgg")


def grader(weights: Path) -> FeatureVectors:
    """Return the network that the workflow has trained for its scores, as a loss sees it: resized as class A is.

    Raises:
        ArtifactError: the weights are absent or others than the recorded ones.
    """
    network = feature_network(weights)
    size = network.image_size
    return FeatureVectors(network, network.features, lambda levels: CLASSES["A"](levels, size))
