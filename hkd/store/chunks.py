"""Long work in parts: what is finished survives an interruption, and damaged parts are made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hkd.store.artifacts import Arrays, ArtifactError, record_path, save_arrays, sha256, write_json


def in_parts(
    folder: Path,
    identity: str,
    count: int,
    chunk: int,
    make: Callable[[int, int], Arrays],
    checkpoint: Callable[[], None],
) -> Arrays:
    """Return arrays of `count` items, made `chunk` items at a time and joined along the first axis.

    Args:
        folder: where finished parts are kept until `clear`.
        identity: names the settings and inputs; parts of another identity are not reused.
        make: (first, how many) -> arrays of those items.
        checkpoint: called before each part is made; may raise to stop.
    Raises:
        ArtifactError: a part was damaged after it was written.
    """
    spans = [(first, min(chunk, count - first)) for first in range(0, count, chunk)]
    for first, n in spans:
        part = _path(folder, identity, first)
        if _whole(part) is None:
            checkpoint()
            save_arrays(part, make(first, n))
            write_json(record_path(part), {"sha256": sha256(part)})
    parts = [_whole(_path(folder, identity, first)) for first, _ in spans]
    whole = [part for part in parts if part is not None]
    if len(whole) != len(parts):
        raise ArtifactError(f"{folder}: a part was damaged while the parts were joined; run the same command again")
    return {name: np.concatenate([part[name] for part in whole]) for name in whole[0]}


def clear(folder: Path) -> None:
    """Drop the parts of finished work."""
    for pattern in ("*.npz", "*.record.json"):
        for path in folder.glob(pattern):
            path.unlink()


def _path(folder: Path, identity: str, first: int) -> Path:
    return folder / f"{identity}-{first:08d}.npz"


def _whole(part: Path) -> Arrays | None:
    """Return a finished part, or None when it is missing or damaged."""
    try:
        if json.loads(record_path(part).read_text(encoding="utf-8"))["sha256"] != sha256(part):
            return None
        with np.load(part, allow_pickle=False) as file:
            return dict(file)
    except (FileNotFoundError, ValueError, KeyError):
        return None
