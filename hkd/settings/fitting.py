"""What the types of a run's settings cannot say: whether its parameters, its network and its training fit together."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from pydantic import create_model

from hkd.nets.presets import NetworkConfig
from hkd.settings.origins import ConfigError, Layers, Section, Typed, check, nearest
from hkd.settings.ranges import network_problems, problems
from hkd.settings.sections import PARTS, Run
from hkd.settings.signatures import constructor_arguments


def checked_run(layers: Layers) -> Run:
    """Return merged settings as those of a run, its `params` as the types of the method's constructor.

    Raises:
        ConfigError: a key is missing or unknown, or a value is of another type or out of its range, with its line.
    """
    run = check(Run, layers)
    run = run.model_copy(update={"params": _checked_params(run, layers)})
    _check_network(layers)
    _check_augmentation(run, layers)
    return run


def _checked_params(run: Run, layers: Layers) -> dict[str, Any]:
    """Return `params` as the types of the target's constructor, before anything is loaded or trained."""
    taken = {k: t for k, t in constructor_arguments(run.target).items() if k not in PARTS}
    required: dict[str, Any] = {name: (kind, ...) for name, kind in taken.items()}
    model = create_model("params", __base__=Section, **required)
    section = _Named(layers.pick("params"), layers)
    params: dict[str, Any] = check(model, section).model_dump()
    if wrong := [_out_of_range(section, name, params[name], why) for name, why in problems(params)]:
        raise ConfigError("\n".join(wrong))
    return params


def _check_network(layers: Layers) -> None:
    section = layers.pick("network")
    known = [field.name for field in fields(NetworkConfig)]
    for key in section.values:
        if key not in known:
            where = layers.origin(("network", key))
            raise ConfigError(f"{where}: unknown key 'network.{key}'. {nearest(key, known)}")
    required = [f.name for f in fields(NetworkConfig) if f.default is MISSING and f.name not in section.values]
    if required:
        where = layers.origin(("network",))
        lines = [f"{where}: key 'network.{key}' is missing; add it, or choose another scale" for key in required]
        raise ConfigError("\n".join(lines))
    try:
        network = NetworkConfig(**section.values)
    except (TypeError, ValueError) as error:
        key = str(error).split(":")[0].removeprefix("network.")
        raise ConfigError(f"{layers.origin(('network', key))}: {error}") from None
    for key, why in network_problems(section.values):
        where, typed = layers.origin(("network", key)), layers.typed(("network", key))
        raise ConfigError(f"{where}: {typed} = {section.values[key]!r} is not usable: it {why}")
    stated = layers.pick("params").values.get("sigma_data", network.sigma_data)
    if stated != network.sigma_data:
        raise ConfigError(
            f"{layers.origin(('params', 'sigma_data'))}: params.sigma_data is {stated}, but the network is built "
            f"with network.sigma_data {network.sigma_data}; make them equal"
        )


def _check_augmentation(run: Run, layers: Layers) -> None:
    if run.params.get("augment") and run.training.flip:
        raise ConfigError(
            f"{layers.origin(('training', 'flip'))}: training.flip is true, but params.augment "
            f"{run.params['augment']:g} mirrors images already and tells the network; set training.flip to false"
        )


class _Named(Layers):
    """The `params` section, whose errors name the key within the whole file."""

    def __init__(self, section: Layers, whole: Layers) -> None:
        super().__init__(section.values, section.origins)
        self._whole = whole

    def origin(self, path: tuple[str, ...]) -> str:
        return self._whole.origin(("params", *path))

    def typed(self, path: tuple[str, ...]) -> str:
        whole = ("params", *path)
        return self._whole.typed(whole) if isinstance(self._whole.origin(whole), Typed) else ".".join(path)


def _out_of_range(section: Layers, name: str, value: Any, why: str) -> str:
    return f"{section.origin((name,))}: {section.typed((name,))} = {value!r} is not usable: it {why}"
