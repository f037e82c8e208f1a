"""A resolved config to live objects: the one module that knows every part."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hkd.data.images import ImageShape
from hkd.experiment.record import read_run
from hkd.methods.base import Method
from hkd.methods.distances import LPIPS, PerceptualDistance
from hkd.nets.assemble import build
from hkd.nets.presets import NetworkConfig
from hkd.settings.origins import ConfigError, nearest
from hkd.settings.sections import PARTS, Data, Run
from hkd.settings.signatures import Group, constructor_arguments, grouped_arguments
from hkd.store.artifacts import ArtifactError, load_weights, weights_about
from hkd.store.published import BACKBONES, locate


@dataclass(frozen=True)
class Parts:
    """Files of finished stages that a method is built from; None where its config asks for none."""

    init: Path | None = None
    teacher: Path | None = None
    perceptual: Path | None = None


def device(name: str) -> torch.device:
    """Return the device: `auto` is a GPU when there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device '{name}': expected auto, cpu, cuda or cuda:N") from None


def network(run: Run, shape: ImageShape, seed: int) -> nn.Module:
    """Return the run's network with fresh weights, drawn from the seed."""
    label_dim = shape.label_dim if run.conditional else 0
    config = NetworkConfig(**run.network)
    try:
        return build(config, resolution=shape.resolution, channels=shape.channels, label_dim=label_dim, seed=seed)
    except ValueError as error:
        raise ConfigError(f"network for images of {shape.resolution} pixels: {error}") from None


def untrained_network(run: Run, data: Data) -> Any:
    """Return the network that a run trains, on a device without memory: names and shapes need no data.

    Raises:
        ConfigError: the size of the data set's images is not in its settings, or the run's network is not HKD's.
    """
    if data.resolution is None:
        raise ConfigError(f"data set of {run.title}: its resolution is not set; set data.resolution")
    with torch.device("meta"):
        built = method(run, ImageShape(data.resolution, 3, 0), seed=0, parts=None)
    student = getattr(built, "student", None)
    if not hasattr(student, "latent_names"):
        raise ConfigError(f"{run.title}: has no Koopman operator; name methods/hkd or one of its ablations")
    return student


def method(run: Run, shape: ImageShape, *, seed: int, parts: Parts | None) -> Method:
    """Return the method that a run names.

    Args:
        parts: the finished stages it starts from; None builds it for sampling alone, whose weights follow.
    Raises:
        ConfigError: settings that the method refuses.
    """
    given: dict[str, Any] = {"student": network(run, shape, seed), "total_steps": run.training.steps}
    given["teacher"] = base(parts.teacher).student if parts and parts.teacher else nn.Module()
    given["distance"] = perceptual(run, parts.perceptual) if parts and run.perceptual else None
    try:
        built: Method = _imported(run.target)(**arguments(run.target, run.params, given))
    except ValueError as error:
        raise ConfigError(f"{run.title} cannot be built: {error}") from None
    if parts and parts.init:
        built.initialise("student", base(parts.init).student.state_dict())
    for frozen in built.frozen:
        if isinstance(getattr(built, frozen, None), nn.Module):
            getattr(built, frozen).requires_grad_(False)
    return built


def arguments(target: str, params: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of the class `target`, from flat settings and the parts that it is given.

    Settings that are fields of a dataclass among the arguments are gathered into it; one may be a field of several.

    Raises:
        ConfigError: a setting is unknown or missing.
        ValueError: settings that a dataclass refuses.
    """
    known = constructor_arguments(target).keys() - PARTS
    for key in sorted(params.keys() - known):
        raise ConfigError(f"unknown key 'params.{key}'. {nearest(key, list(known))}")
    for key in sorted(known - params.keys()):
        raise ConfigError(f"key 'params.{key}' is missing; add it")
    return _gathered(target, {**params, **given})


def base(weights: Path) -> Any:
    """Return the finished run whose weights lie at `weights`, as a method in evaluation mode."""
    run, shape, about = read_run(weights.with_name("config.yaml"))
    built = method(run, shape, seed=about["seed"], parts=None)
    load(built, weights)
    return built.eval().requires_grad_(False)


def load(built: Method, weights: Path) -> None:
    """Load finished weights into a method.

    Raises:
        ArtifactError: they are weights of another configuration.
    """
    state = load_weights(weights)
    try:
        built.load_artefact(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ArtifactError(
            f"{weights}: not the weights of the config beside it ({first}); train the run again"
        ) from None


def perceptual(run: Run, weights: Path | None) -> PerceptualDistance:
    """Return the perceptual distance of a run: the data set's own small network, or LPIPS from a local backbone.

    Raises:
        ArtifactError: the weights are absent or others than the recorded or published ones.
    """
    if run.perceptual_backbone == "cnn":
        assert weights is not None
        network = feature_network(weights)
        return PerceptualDistance(network, network.maps, run.perceptual_resize)
    name = BACKBONES[run.perceptual_backbone]
    path, backbone = locate(name, run.weights_folder), name.removeprefix("lpips-")
    return LPIPS(backbone, path, run.perceptual_resize, average=run.perceptual_backbone == "piq-vgg")


def feature_network(weights: Path) -> Any:
    """Return a feature network with its finished weights, in evaluation mode."""
    from hkd.nets.cnn import FeatureCNN

    state = load_weights(weights, "extractor")
    built = FeatureCNN(**weights_about(weights)["network"])
    built.load_state_dict(state)
    return built.eval().requires_grad_(False)


def _gathered(target: str, values: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, kind in grouped_arguments(target).items():
        grouped = isinstance(kind, Group)
        found[name] = _imported(kind.target)(**_gathered(kind.target, values)) if grouped else values[name]
    return found


def _imported(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)
