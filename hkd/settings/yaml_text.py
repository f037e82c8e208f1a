"""YAML as settings are written: read within bounds, and every plain value as it stands there.

Settings may come from strangers, so nothing in them is built but mappings, lists, text, numbers, booleans and null:
tags, aliases and merge keys are refused, and size, depth and count are bounded before anything is made of them.
A plain value is a number only in its plainest spelling, so that no text is lost: `010`, `2023_01`, `1:20`, `2023-01-01`
and `yes` are text. Whether text may stand where it stands is for the check of the settings to say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1_000_000
MOST_VALUES = 50_000
DEEPEST = 24
LARGEST = 2**63 - 1
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where it exists
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z", re.ASCII)
_DECIMAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?\Z", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)\Z", re.ASCII | re.IGNORECASE)
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # and halves of characters: bytes, no text
_STANDARD = "tag:yaml.org,2002:"
Note = Callable[[tuple[str, ...], int], object]


class TextError(ValueError):
    """Text that cannot be read as settings: where (`:line`, or nothing) and why."""

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(why)
        self.why, self.where = why, f":{line + 1}" if line is not None else ""


def read_text(path: Path) -> str:
    """Return the text of a settings file.

    Raises:
        TextError: it is too large, or not UTF-8.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise TextError(f"more than {MOST_BYTES:,} bytes; this is no settings file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError("not UTF-8 text; save it as UTF-8", content.count(b"\n", 0, error.start)) from None


def parse(text: str, note: Note = lambda path, line: None) -> Any:
    """Return what a YAML text says: dicts, lists and plain values; None for an empty one.

    Args:
        note: told the path and the line, from 0, of every value that is not a mapping with entries.
    Raises:
        TextError: it is no YAML, says a key twice, or has what settings do not need (see the module).
    """
    if len(text) > MOST_BYTES:
        raise TextError(f"more than {MOST_BYTES:,} characters; these are no settings")
    if found := _CONTROL.search(text):
        raise TextError(f"has the control character {found[0]!r}; take it out", text.count("\n", 0, found.start()))
    try:
        return _Reader(yaml.parse(text, Loader=_PARSER), note).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise TextError(f"not valid YAML ({why})", mark.line if mark else None) from None


def from_json(text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        TextError: it is no JSON, or beyond the bounds of settings.
    """
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise TextError(f"not valid JSON ({why})") from None
    check_bounds(found)
    return found


def check_bounds(value: Any) -> None:
    """Refuse a value that is nested too deeply, has too many parts or too large numbers; it may contain itself.

    Raises:
        TextError: it does.
    """
    count, open_ = 0, [(value, 0)]
    while open_:
        node, depth = open_.pop()
        count += 1
        _check_size(count, depth, None)
        if isinstance(node, Mapping):
            open_ += [(inner, depth + 1) for inner in node.values()]
        elif isinstance(node, list | tuple):
            open_ += [(inner, depth + 1) for inner in node]
        elif isinstance(node, int) and abs(node) > LARGEST:
            raise TextError("has a whole number of more than 64 bits")
        elif isinstance(node, float) and not math.isfinite(node):
            raise TextError(f"has the number {node}; settings are finite")


def plain(text: str) -> Any:
    """Return what a plain, unquoted value means: a number, a truth value, null, or the text itself.

    Raises:
        TextError: a number that is not finite, or does not fit into 64 bits.
    """
    if (word := text if text == "~" else text.lower()) in _WORDS and text in (word, word.title(), word.upper()):
        return _WORDS[word]
    if _WHOLE.match(text):
        if len(text) > 20 or abs(int(text)) > LARGEST:
            raise TextError(f"{_short(text)} is a whole number of more than 64 bits")
        return int(text)
    if _NOT_FINITE.match(text):
        raise TextError(f"{text} is no finite number; settings are finite")
    if _DECIMAL.match(text):
        if not math.isfinite(value := float(text)):
            raise TextError(f"{_short(text)} is no finite number; settings are finite")
        return value
    return text


def spelled_out(value: Any) -> Any:
    """Return a value in which text that is written plainly is read as `plain` reads it."""
    if isinstance(value, Mapping):
        return {str(key): spelled_out(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [spelled_out(inner) for inner in value]
    return plain(value) if isinstance(value, str) else value


class _Reader:
    """One document, built from the events of PyYAML's parser: nothing is composed before its bound is checked."""

    def __init__(self, events: Iterator[Any], note: Note) -> None:
        self._events, self._note, self._count = events, note, 0

    def document(self) -> Any:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        first = next(self._events)
        found = self._value(first, (), first.start_mark.line, 0)
        next(self._events)  # the end of the document
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            raise TextError("a second document begins here; settings are one", after.start_mark.line)
        return found

    def _value(self, event: Any, path: tuple[str, ...] | None, line: int, depth: int) -> Any:
        """Return a value; `line` is that of its key, for a text may begin below it; `path` is None within a list."""
        self._count += 1
        _check_size(self._count, depth, line)
        found = self._built(event, path, line, depth)
        if path is not None and not (isinstance(found, dict) and found):
            self._note(path, line)
        return found

    def _built(self, event: Any, path: tuple[str, ...] | None, line: int, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise TextError(f"refers to *{_short(event.anchor)}; aliases are not read: write the value here", line)
        kind = {yaml.MappingStartEvent: "map", yaml.SequenceStartEvent: "seq"}.get(type(event), "str")
        if event.tag not in (None, "!", f"{_STANDARD}{kind}"):
            raise TextError(f"has the tag {_short(event.tag)}; tags are not read: take it out", line)
        if kind == "map":
            return dict(self._entries(path, depth))
        if kind == "seq":
            return list(self._items(depth))
        if not event.implicit[0]:  # in quotes, or said to be text
            return event.value
        try:
            return plain(event.value)
        except TextError as error:
            raise TextError(error.why, event.start_mark.line) from None

    def _entries(self, path: tuple[str, ...] | None, depth: int) -> Iterator[tuple[str, Any]]:
        known = set()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = event.start_mark.line
            if not isinstance(event, yaml.ScalarEvent):
                raise TextError("a key is one word, not a list, mapping or alias", line)
            key = event.value
            if key == "<<" and event.implicit[0]:
                raise TextError("merge keys (<<) are not read: write the values here", line)
            if key in known:
                raise TextError(f"key '{_short(key)}' stands here twice; keep one", line)
            known.add(key)
            yield key, self._value(next(self._events), None if path is None else (*path, key), line, depth + 1)

    def _items(self, depth: int) -> Iterator[Any]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._value(event, None, event.start_mark.line, depth + 1)


def _check_size(count: int, depth: int, line: int | None) -> None:
    if count > MOST_VALUES:
        raise TextError(f"has more than {MOST_VALUES:,} values; these are no settings", line)
    if depth > DEEPEST:
        raise TextError(f"is nested more than {DEEPEST} deep; these are no settings", line)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no finite number")


def _short(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= 40 else f"{text[:40]}…"
