"""What was read from the text of modules, kept from one process to the next: a workflow starts hundreds of them.

An entry is found by the SHA-256 of the text that it was read from, and of the text that reads it, so that it cannot be
out of date. The file lies where Python keeps what it compiled; where that cannot be written, everything is read anew.
"""

from __future__ import annotations

import atexit
import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from hkd.store import bounded, source
from hkd.store.atomic import write_json
from hkd.store.refusals import ArtifactError

MOST = 4000  # entries: those of older texts are dropped, all at once, when there are more
MAX_BYTES = 16 << 20


class Found(NamedTuple):
    """What a module computes, as a digest, and the names that it imports."""

    fingerprint: str
    imports: list[str]


def read(text: str, find: Callable[[str], Found]) -> Found:
    """Return what `find` finds in a text, from an earlier process if it was asked before."""
    name = hashlib.sha256(_reader() + text.encode()).hexdigest()
    known = _known()
    if name not in known:
        found = find(text)
        known[name] = [found.fingerprint, found.imports]
        _keep_at_the_end()
    return Found(*known[name])


def _file() -> Path:
    return source.PACKAGE / "__pycache__" / "code-digests.json"


@cache
def _reader() -> bytes:
    """Return what names the way in which texts are read."""
    return hashlib.sha256(Path(__file__).with_name("code.py").read_bytes()).digest()


@cache
def _known() -> dict[str, Any]:
    try:
        known = bounded.parse_json(bounded.read_bytes(_file(), MAX_BYTES))
    except (OSError, bounded.Damaged):
        return {}
    whole = isinstance(known, dict) and all(map(_is_entry, known.values()))
    return known if whole and len(known) <= MOST else {}


def _is_entry(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], list)
        and all(isinstance(name, str) for name in value[1])
    )


@cache
def _keep_at_the_end() -> None:
    """Write what is known when this process ends, once."""
    atexit.register(keep)


def keep() -> None:
    """Write what is known, where that is allowed."""
    with suppress(OSError, ArtifactError):
        _file().parent.mkdir(exist_ok=True)
        write_json(_file(), _known())
