"""A reader that comes between a writer's file and its record waits a moment before it speaks of damage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

RECENT = 60.0  # seconds since a change within which somebody may still be writing
PATIENCE = 0.5  # seconds that a writer gets, beside the time that the digest of the file takes
PAUSE = 0.05


def agrees_soon(path: Path, record: Path, digest: Callable[[Path], str]) -> bool:
    """Whether file and record, which did not agree a moment ago, do before a writer would have finished.

    Args:
        digest: of a file's bytes, as it stands under `sha256` in the record.
    """
    if time.time() - max(_changed(path), _changed(record)) > RECENT:
        return False
    start = time.monotonic()
    if _agree(path, record, digest):
        return True
    # the writer has to read the file once, as we just did
    end = time.monotonic() + PATIENCE + 2 * (time.monotonic() - start)
    seen = _signature(path), _signature(record)
    while time.monotonic() < end:
        time.sleep(PAUSE)
        now = _signature(path), _signature(record)
        if now != seen and _agree(path, record, digest):
            return True
        seen = now
    return False


def _agree(path: Path, record: Path, digest: Callable[[Path], str]) -> bool:
    try:
        said = json.loads(record.read_bytes())
        return isinstance(said, dict) and said.get("sha256") == digest(path)
    except (OSError, ValueError, RecursionError):
        return False


def _changed(path: Path) -> float:
    """Return when a name was last given to a file, or its bytes were changed."""
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0


def _signature(path: Path) -> tuple[int, ...]:
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
