"""Long work in parts: what is finished survives an interruption, and damaged parts are made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hkd.store import bounded, bounded_arrays
from hkd.store.artifacts import Arrays, save_arrays
from hkd.store.atomic import sha256, write_json
from hkd.store.large_arrays import Joined
from hkd.store.records import record_path
from hkd.store.refusals import ArtifactError
from hkd.store.temporary import clear_leftovers

if TYPE_CHECKING:
    import numpy as np

    Kinds = Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]


def in_parts(
    folder: Path,
    identity: str,
    count: int,
    chunk: int,
    make: Callable[[int, int], Arrays],
    checkpoint: Callable[[], None],
) -> Arrays:
    """Return the arrays of `joined_parts`, whole and in memory."""
    return {
        name: array.whole() for name, array in joined_parts(folder, identity, count, chunk, make, checkpoint).items()
    }


def joined_parts(
    folder: Path,
    identity: str,
    count: int,
    chunk: int,
    make: Callable[[int, int], Arrays],
    checkpoint: Callable[[], None],
) -> dict[str, Joined]:
    """Return arrays of `count` items, made `chunk` items at a time and joined along the first axis.

    What comes back reads the parts, one at a time, whenever it is gone through: they must be there until then.

    Args:
        folder: where finished parts are kept until `clear`.
        identity: names the settings and inputs; parts of another identity are not reused.
        make: (first, how many) -> arrays of those items.
        checkpoint: called before each part is made; may raise to stop.
    Raises:
        ArtifactError: a part was damaged after it was written, which is seen at the latest when it is joined.
    """
    clear_leftovers(folder)
    parts, kinds = [], []
    for first in range(0, count, chunk):
        part, n = _path(folder, identity, first), min(chunk, count - first)
        found = _kinds(part, n)
        if found is None:
            checkpoint()
            arrays = make(first, n)
            save_arrays(part, arrays)
            write_json(record_path(part), {"sha256": sha256(part)})
            found = {name: (array.dtype, array.shape) for name, array in arrays.items()}
        parts.append(part)
        kinds.append(found)
    if not all(_of_items(kind) == _of_items(kinds[0]) for kind in kinds):
        raise _damaged(folder)
    return {
        name: Joined((count, *shape[1:]), dtype, partial(_pieces, parts, name, kinds))
        for name, (dtype, shape) in kinds[0].items()
    }


def clear(folder: Path) -> None:
    """Drop the parts of finished work."""
    for pattern in ("*.npz", "*.record.json"):
        for path in folder.glob(pattern):
            path.unlink()


def _path(folder: Path, identity: str, first: int) -> Path:
    return folder / f"{identity}-{first:08d}.npz"


def _kinds(part: Path, count: int) -> Kinds | None:
    """Return types and shapes in a finished part of `count` items, or None: missing, damaged or of another number."""
    try:
        about = bounded.parse_json(bounded.read_bytes(record_path(part), bounded.SHORT_JSON_BYTES))
        if not part.is_file() or bounded.check_fields(about, {"sha256": str})["sha256"] != sha256(part):
            return None
        kinds = bounded_arrays.npz_kinds(part)
    except (FileNotFoundError, bounded.Damaged):
        return None
    return kinds if kinds and all(shape[:1] == (count,) for _, shape in kinds.values()) else None


def _of_items(kinds: Kinds) -> Kinds:
    """Return types, and shapes of single items: parts in which these are alike can be joined."""
    return {name: (dtype, shape[1:]) for name, (dtype, shape) in kinds.items()}


def _pieces(parts: Sequence[Path], name: str, kinds: Sequence[Kinds]) -> Iterator[np.ndarray]:
    """Yield the array of this name of every part, each compared with its checksum."""
    for part, kind in zip(parts, kinds, strict=True):
        try:
            piece = bounded_arrays.read_npz(part, wanted=lambda found: found == name).get(name)
        except (FileNotFoundError, bounded.Damaged):
            raise _damaged(part.parent) from None
        if piece is None or (piece.dtype, piece.shape) != kind[name]:
            raise _damaged(part.parent)
        yield piece


def _damaged(folder: Path) -> ArtifactError:
    return ArtifactError(f"{folder}: a part was damaged while the parts were joined; run the same command again")
