"""Read, inherit, merge and check YAML settings, remembering where each value came from.

Settings are plain mappings. Merging keeps a parallel mapping from key path to `file:line`, so that an error and
`hkd config show` can both name the line that is to blame. Checking is done by pydantic models; this module turns
their findings into one line per problem: file, key, value, nearest valid key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

KeyPath = tuple[str, ...]
Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """Settings that cannot be used. Each line of the message names file, key, value and what would be valid."""


class Section(BaseModel):
    """Base of every checked section: unknown keys are refused, values never change."""

    # built when first used: most commands use three sections of the fourteen
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, defer_build=True)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # ten times faster where it exists
    """YAML whose `1e-4` is a number and in which a key given twice is an error."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)$"),
    list("-+0123456789"),
)


@dataclass
class Layers:
    """Merged settings (`values`) and the `file:line` that each leaf came from (`origins`)."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def put(self, other: Layers) -> Layers:
        """Lay `other` on top and return self: mappings merge, unless they state a `kind`; all else is replaced."""
        self._merge(self.values, other.values, (), other)
        return self

    def pick(self, *path: str) -> Layers:
        """Return the section at `path` as layers of its own; empty when it is absent."""
        node: Any = self.values
        for key in path:
            node = node.get(key, {}) if isinstance(node, Mapping) else {}
        depth = len(path)
        inner = {p[depth:]: where for p, where in self.origins.items() if p[:depth] == path}
        return Layers(_copy(node) if isinstance(node, Mapping) else {}, inner)

    def lines(self) -> list[str]:
        """Return the values as YAML-like lines, with where each was written aligned behind it."""
        found: list[tuple[str, str]] = []

        def walk(node: Mapping[str, Any], path: KeyPath) -> None:
            for key, value in node.items():
                here = (*path, key)
                indent = "  " * len(path)
                if isinstance(value, Mapping) and value:
                    found.append((f"{indent}{key}:", ""))
                    walk(value, here)
                else:
                    found.append((f"{indent}{key}: {value}", self.origin(here)))

        walk(self.values, ())
        width = max((len(text) for text, origin in found if origin), default=0)
        return [f"{text:{width}}  # {origin}" if origin else text for text, origin in found]

    def without(self, *keys: str) -> Layers:
        """Return the layers less some top-level keys."""
        values = {k: _copy(v) for k, v in self.values.items() if k not in keys}
        return Layers(values, {p: w for p, w in self.origins.items() if p[0] not in keys})

    def origin(self, path: KeyPath) -> str:
        """Return where the value at `path`, or the nearest section around it, was written."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        inside = [w for p, w in self.origins.items() if p[: len(path)] == path]
        return (
            inside[0] if inside else (next(iter(self.origins.values())).split(":")[0] if self.origins else "settings")
        )

    def _merge(self, into: dict[str, Any], new: Mapping[str, Any], path: KeyPath, other: Layers) -> None:
        for key, value in new.items():
            here = (*path, key)
            if isinstance(value, Mapping) and isinstance(into.get(key), dict) and "kind" not in value:
                self._merge(into[key], value, here, other)
                continue
            into[key] = _copy(value)
            self.origins = {p: w for p, w in self.origins.items() if p[: len(here)] != here}
            self.origins.update({p: w for p, w in other.origins.items() if p[: len(here)] == here})


def read_yaml(path: Path) -> Layers:
    """Return one YAML file as layers.

    Raises:
        ConfigError: the file is missing, is no YAML, repeats a key, or is no mapping.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        near = get_close_matches(path.stem, [p.stem for p in path.parent.glob("*.yaml")], n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"{path}: no such settings file.{hint}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: a folder, not a settings file; name a file in it") from None
    parsed = _parsed(text, str(path))
    return Layers(_copy(parsed.values), dict(parsed.origins))


@lru_cache(maxsize=1024)
def _parsed(text: str, path: str) -> Layers:
    """Return the layers in a file's text, to be copied: one benchmark reads the same file for many runs."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if node is None:
        return Layers()
    if not isinstance(node, yaml.MappingNode):
        kind = "list" if isinstance(node, yaml.SequenceNode) else "single value"
        raise ConfigError(f"{path}: expected 'key: value' lines, found a {kind}")
    origins: dict[KeyPath, str] = {}
    return Layers(_construct(node, (), path, origins), origins)


def from_mapping(values: Mapping[str, Any], where: str) -> Layers:
    """Return a mapping that came from elsewhere (the command line, say) as layers."""
    origins: dict[KeyPath, str] = {}

    def walk(node: Mapping[str, Any], path: KeyPath) -> None:
        for key, value in node.items():
            if isinstance(value, Mapping) and value:
                walk(value, (*path, str(key)))
            else:
                origins[(*path, str(key))] = where

    walk(values, ())
    return Layers(_copy(values), origins)


def check(model: type[Model], layers: Layers) -> Model:
    """Return `layers` as a checked `model`.

    Raises:
        ConfigError: with one line per problem, all problems at once.
    """
    try:
        return model.model_validate(layers.values)
    except ValidationError as error:
        lines = [_explain(problem, model, layers) for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def nearest(key: str, known: list[str]) -> str:
    """Return the hint that ends an error about an unknown name."""
    close = get_close_matches(key, known, n=1)
    return f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(sorted(known))}."


def canonical(value: Any) -> str:
    """Return JSON in which only values count: keys sorted, 33.0 as 33, tuples as lists."""
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """Return 16 hexadecimal digits that name a setting by its values."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return settings as YAML text that `read_yaml` reads back to the same values."""
    return yaml.safe_dump(_canonical(values), sort_keys=False, width=110)


def _construct(node: yaml.MappingNode, path: KeyPath, file: str, origins: dict[KeyPath, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        line = f"{file}:{key_node.start_mark.line + 1}"
        if key in values:
            raise ConfigError(f"{line}: key '{key}' stands here twice; keep one")
        here = (*path, key)
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            values[key] = _construct(value_node, here, file, origins)
        else:
            loader = _Loader("")
            values[key] = loader.construct_object(value_node, deep=True)
            origins[here] = line
    return values


def _explain(problem: Any, model: type[BaseModel], layers: Layers) -> str:
    path = tuple(str(p) for p in problem["loc"])
    where, key = layers.origin(path), ".".join(path)
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key '{key}'. {nearest(path[-1], _fields(model, path[:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: key '{key}' is missing; add it"
    return f"{where}: {key} = {problem['input']!r} is not usable: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _fields(model: type[BaseModel], path: KeyPath) -> list[str]:
    current: Any = model
    for key in path:
        field_info = getattr(current, "model_fields", {}).get(key)
        if field_info is None:
            continue
        candidates = [field_info.annotation, *getattr(field_info.annotation, "__args__", ())]
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), current)
    return list(getattr(current, "model_fields", {}))


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list | tuple) else value


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _canonical(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(v) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
