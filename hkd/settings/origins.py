"""Read, inherit, merge and check YAML settings, remembering where each value came from.

Settings are plain mappings. Merging keeps a parallel mapping from key path to `file:line`, so that an error and
`hkd config show` can both name the line that is to blame. Checking is done by pydantic models; this module turns
their findings into one line per problem: file, key, value, nearest valid key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import core_schema

from hkd.settings.yaml_text import LARGEST, TextError, check_bounds, parse, plain, read_text
from hkd.store.lines import shortened

KeyPath = tuple[str, ...]
Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """Settings that cannot be used. Each line of the message names file, key, value and what would be valid."""


_KINDS = {str: "text", bool: "a truth value", type(None): "nothing", dict: "a section", list: "a list"}


def _numbers_only(schema: Any) -> Any:
    """Return a schema in which `_number` looks at whatever is to be an int or a float, however deep its type is."""
    if isinstance(schema, list | tuple):
        return type(schema)(_numbers_only(item) for item in schema)
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "bool":
        return {**schema, "strict": True}  # text is no truth value: YAML 1.1's yes and no are not read as such
    if schema.get("type") in ("int", "float"):
        return core_schema.no_info_before_validator_function(_number, schema)
    if schema.get("type") == "function-before" and schema["function"]["function"] is _number:
        return schema
    return {key: _numbers_only(value) if key != "metadata" else value for key, value in schema.items()}


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, found {_KINDS.get(type(value), type(value).__name__)}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError("expected a number of at most 64 bits")
    return value


class Section(BaseModel):
    """Base of every checked section: unknown keys are refused, values never change, a number is a finite number."""

    # built when first used: most commands use three sections of the fourteen
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Return pydantic's schema, in which neither text nor a truth value is taken for a number."""
        return _numbers_only(handler(source))


class Typed(str):
    """Where a value of the command line was written, with the whole key as it was typed there."""

    key: KeyPath

    def __new__(cls, where: str, key: KeyPath) -> Typed:
        """Return the place, with its key."""
        made = super().__new__(cls, where)
        made.key = key
        return made


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

    def typed(self, path: KeyPath) -> str:
        """Return the key at `path` as a reader knows it: whole, where it was typed on the command line."""
        for end in range(len(path), 0, -1):
            if isinstance(where := self.origins.get(path[:end]), Typed):
                return ".".join((*where.key, *path[end:]))
        return ".".join(path)

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
        text = read_text(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such settings file.{_beside(path)}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: a folder, not a settings file; name a file in it") from None
    except (OSError, ValueError) as error:
        raise _unreadable(error, str(path)) from None
    parsed = _parsed(text, str(path))
    return Layers(_copy(parsed.values), dict(parsed.origins))


def stems(folder: Path) -> list[str]:
    """Return the names of the settings files of a folder, without their ending."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _beside(path: Path) -> str:
    try:
        names = stems(path.parent)
    except OSError:
        names = []
    near = get_close_matches(path.stem, names, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _unreadable(error: Exception, name: str) -> ConfigError:
    """Return what to say of text that could not be read: a name too long or with NUL, no permission, no UTF-8."""
    if isinstance(error, TextError):
        return ConfigError(f"{shortened(name)}{error.where}: {error.why}")
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ConfigError(f"{shortened(name)}: cannot be read ({why}); name a settings file that can be")


@lru_cache(maxsize=1024)
def _parsed(text: str, path: str) -> Layers:
    """Return the layers in a file's text, to be copied: one benchmark reads the same file for many runs."""
    origins: dict[KeyPath, str] = {}
    try:
        values = parse(text, lambda key, line: origins.setdefault(key, f"{path}:{line + 1}"))
    except TextError as error:
        raise _unreadable(error, path) from None
    if values is None:
        return Layers()
    if not isinstance(values, dict):
        kind = "list" if isinstance(values, list) else "single value"
        raise ConfigError(f"{path}: expected 'key: value' lines, found a {kind}")
    origins.pop((), None)
    return Layers(values, origins)


def from_mapping(values: Mapping[str, Any], where: str) -> Layers:
    """Return a mapping that came from elsewhere (the command line, say) as layers."""
    origins: dict[KeyPath, str] = {}
    try:
        check_bounds(values)
    except TextError as error:
        raise _unreadable(error, where) from None

    def walk(node: Mapping[str, Any], path: KeyPath) -> None:
        for key, value in node.items():
            if isinstance(value, Mapping) and value:
                walk(value, (*path, str(key)))
            else:
                origins[(*path, str(key))] = Typed(where, (*path, str(key)))

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
    return yaml.dump(_canonical(values), Dumper=_Dumper, sort_keys=False, width=110)


class _Dumper(yaml.SafeDumper):
    """YAML in which text that would be read as something else stands in quotes, by our reading as by YAML 1.1's."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value in full wherever it stands: aliases are not read."""
        return True


def _represented(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    try:
        kept = isinstance(plain(text), str)
    except TextError:
        kept = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if kept else "'")


_Dumper.add_representer(str, _represented)


def _explain(problem: Any, model: type[BaseModel], layers: Layers) -> str:
    path = tuple(str(p) for p in problem["loc"])
    where, key = layers.origin(path), layers.typed(path)
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key '{key}'. {nearest(path[-1], _fields(model, path[:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: key '{key}' is missing; add it"
    given, why = problem["input"], problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "string_type" and isinstance(given, bool | int | float):
        # what was written is lost by now: 202301 may have been 2023_01
        read = _KINDS.get(type(given), "a number")
        why = f"expected text, read as {read}; in a file write it in quotes; a path also as ./NAME"
    if problem["type"] in ("bool_type", "bool_parsing"):
        why = "a truth value is true or false"
    if problem["type"] == "tuple_type":
        why = f"expected a list, as in [{given}]"
    return f"{where}: {key} = {shortened(repr(given))} is not usable: {why[:1].lower()}{why[1:]}"


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
    if isinstance(value, str | bool | int | float):  # most are: said first, for a plan copies a third of a million
        return value
    if isinstance(value, dict | Mapping):  # a dictionary is known at once, another mapping by its promises
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
