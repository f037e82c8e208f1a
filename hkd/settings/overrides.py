"""What a command line says of settings: `KEY=VALUE`, where dots reach into sections and values are YAML."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hkd.settings.origins import ConfigError, Layers, from_mapping
from hkd.settings.yaml_text import TextError, parse
from hkd.store.lines import shortened

PATHS = re.compile(
    r"source|results|figures|data\.[^.]+\.path|released\.[^.]+\.[^.]+|(set|methods\.[^.]+)\.weights_folder"
)


def from_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the settings that the arguments of `--config` state; the value of a path is taken as it stands.

    Raises:
        ConfigError: one is no `KEY=VALUE`, its value is no YAML, or its key lies inside a plain value.
    """
    merged: dict[str, Any] = {}
    for item in arguments:
        key, sign, value = item.partition("=")
        shown = shortened(item)
        if not sign or not key:
            raise ConfigError(f"--config {shown}: expected KEY=VALUE")
        section = merged
        *outer, leaf = key.split(".")
        for name in outer:
            section = section.setdefault(name, {}) if isinstance(section, dict) else section
        if not isinstance(section, dict):
            raise ConfigError(f"--config {shown}: the key lies inside a plain value")
        try:
            section[leaf] = _path(value) if PATHS.fullmatch(key) else parse(value)
        except TextError as error:
            raise ConfigError(f"--config {shown}: {error.why}") from None
    return merged


def _path(value: str) -> str:
    """Return a path as it stands; one that is wholly in double quotes, as programs write text, without them."""
    with suppress(ValueError):
        if value.startswith('"') and isinstance(text := json.loads(value), str):
            return text
    return value


def from_options(options: Mapping[str, tuple[str, Any]]) -> Layers:
    """Return the settings that options of a command state, each with the option as its origin.

    Args:
        options: option, underscores in place of dashes -> (dotted key, value); a value of None was not given.
    """
    layers = Layers()
    for option, (key, value) in options.items():
        if value is not None:
            for name in reversed(key.split(".")):
                value = {name: value}
            layers.put(from_mapping(value, f"--{option.replace('_', '-')}"))
    return layers


def refuse_old_environment() -> None:
    """Refuse the name that a variable had in earlier versions.

    Raises:
        ConfigError: it is set.
    """
    if "HKD_PROFILE" in os.environ:
        raise ConfigError("HKD_PROFILE is now HKD_BENCHMARK; unset the old variable, and set the new one instead")
