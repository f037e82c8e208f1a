"""Long work in parts: what is finished survives an interruption, and damaged parts are made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hkd.store import bounded
from hkd.store.artifacts import Arrays, save_arrays
from hkd.store.atomic import sha256, write_json
from hkd.store.records import record_path
from hkd.store.refusals import ArtifactError
from hkd.store.temporary import clear_leftovers


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
    clear_leftovers(folder)
    spans = [(first, min(chunk, count - first)) for first in range(0, count, chunk)]
    for first, n in spans:
        part = _path(folder, identity, first)
        if _whole(part, n) is None:
            checkpoint()
            save_arrays(part, make(first, n))
            write_json(record_path(part), {"sha256": sha256(part)})
    parts = [_whole(_path(folder, identity, first), n) for first, n in spans]
    whole = [part for part in parts if part is not None]
    if len(whole) != len(parts) or not _alike(whole):
        raise ArtifactError(f"{folder}: a part was damaged while the parts were joined; run the same command again")
    return {name: np.concatenate([part[name] for part in whole]) for name in whole[0]}


def clear(folder: Path) -> None:
    """Drop the parts of finished work."""
    for pattern in ("*.npz", "*.record.json"):
        for path in folder.glob(pattern):
            path.unlink()


def _path(folder: Path, identity: str, first: int) -> Path:
    return folder / f"{identity}-{first:08d}.npz"


def _whole(part: Path, count: int) -> Arrays | None:
    """Return a finished part of `count` items, or None when it is missing, damaged or of another number."""
    try:
        about = bounded.parse_json(bounded.read_bytes(record_path(part), bounded.SHORT_JSON_BYTES))
        if not part.is_file() or bounded.check_fields(about, {"sha256": str})["sha256"] != sha256(part):
            return None
        arrays = bounded.read_npz(part)
    except (FileNotFoundError, bounded.Damaged):
        return None
    return arrays if arrays and all(array.shape[:1] == (count,) for array in arrays.values()) else None


def _alike(parts: list[Arrays]) -> bool:
    """Whether arrays of the same names, types and sizes of items are in all parts, so that they can be joined."""
    kinds = [{name: (array.dtype, array.shape[1:]) for name, array in part.items()} for part in parts]
    return all(kind == kinds[0] for kind in kinds)
