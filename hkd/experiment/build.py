"""A resolved run to live objects: its network and its method, with fresh weights."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hkd.data.image_shape import ImageShape
from hkd.methods.base import Method
from hkd.nets.assemble import build
from hkd.nets.presets import NetworkConfig
from hkd.settings.origins import ConfigError, nearest
from hkd.settings.sections import PARTS, Data, Run
from hkd.settings.signatures import Group, constructor_arguments, grouped_arguments


@dataclass(frozen=True)
class Parts:
    """What a method starts from, of finished stages; None where its config asks for none.

    Attributes:
        init: weights of the student before training, by the names of its network.
        teacher: frozen network that is learned from.
        distance: perceptual distance of the loss.
        grader: the network that grades, of a control that is trained on the score.
    """

    init: Mapping[str, Tensor] | None = None
    teacher: nn.Module | None = None
    distance: nn.Module | None = None
    grader: nn.Module | None = None


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
    given["teacher"] = parts.teacher if parts and parts.teacher is not None else nn.Module()
    given["distance"] = parts.distance if parts else None
    given["grader"] = parts.grader if parts else None
    try:
        built: Method = _imported(run.target)(**arguments(run.target, run.params, given))
    except ValueError as error:
        raise ConfigError(f"{run.title} cannot be built: {error}") from None
    if parts and parts.init is not None:
        built.initialise("student", dict(parts.init))
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


def _gathered(target: str, values: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, kind in grouped_arguments(target).items():
        grouped = isinstance(kind, Group)
        found[name] = _imported(kind.target)(**_gathered(kind.target, values)) if grouped else values[name]
    return found


def _imported(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)
