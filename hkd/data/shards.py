"""The files of a stored set of trajectories; reading and writing them needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hkd.store.artifacts import ArtifactError, atomic_path

STAGE = "trajectories"


def shard_name(number: int) -> str:
    """Return the file name of shard `number`."""
    return f"shard{number}.npy"


def labels_path(shard: Path) -> Path:
    """Return where the class indices of a shard lie, if its teacher is conditional."""
    return shard.with_name(shard.stem + ".labels.npy")


def write_shard(path: Path, states: np.ndarray, labels: np.ndarray | None) -> None:
    """Write scaled float16 states (n, states, C, H, W), and the class indices (n,) of a conditional teacher."""
    if labels is not None:
        with atomic_path(labels_path(path)) as temporary, open(temporary, "wb") as file:
            np.save(file, labels)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, states)


def open_set(folder: Path, manifest: Mapping[str, Any]) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Return every shard, memory-mapped, and the class indices of all trajectories of a conditional teacher.

    Raises:
        ArtifactError: a file is missing, damaged, or not what the manifest says.
    """
    paths = [folder / shard["file"] for shard in manifest["shards"]]
    counts, states = [shard["count"] for shard in manifest["shards"]], len(manifest["sigmas"])
    shards = [_open(path, count, states) for path, count in zip(paths, counts, strict=True)]
    labels = np.concatenate([_read(labels_path(path)) for path in paths]) if manifest["label_dim"] else None
    return shards, labels


def _open(path: Path, count: int, states: int) -> np.ndarray:
    array = _read(path)
    if array.shape[:2] != (count, states) or array.dtype != np.float16:
        raise ArtifactError(f"{path}: holds {array.dtype} {array.shape}, not what the manifest says; run `hkd {STAGE}`")
    return array


def _read(path: Path) -> np.ndarray:
    """Return an array that this stage wrote, memory-mapped."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(
            f"{path}: missing or damaged ({error}); delete it and run `hkd {STAGE}`, or `snakemake --cores all {path}`"
        ) from None
