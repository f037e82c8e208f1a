"""The files of a stored set of trajectories; reading and writing them needs no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hkd.settings.sections import TrajectorySet
from hkd.store import bounded, bounded_arrays
from hkd.store.artifacts import read_json
from hkd.store.atomic import atomic_path, sha256
from hkd.store.finite import unwritable
from hkd.store.refusals import ArtifactError

STAGE = "trajectories"
FIELDS: dict[str, Any] = {
    "shards": list,
    "sigmas": list,
    "sigma_data": (int, float),
    "label_dim": int,
    "count": int,
    "network_evals": int,
}
SHARD_FIELDS: dict[str, Any] = {"file": str, "count": int, "sha256": str, "labels_sha256": str, "noise_sha256": str}
NOISE_FIELDS: dict[str, Any] = {"generator": str, "seed": int}
MOST_VALUES = 3 * 4096**2  # of a state: of the largest image that settings allow; a file with holes may claim any size
PURPOSE = "trajectory-noise"
GENERATOR = f"torch.randn of the stream (seed, {PURPOSE}, number)"
"""How a manifest names where noise that is not kept comes from; another name is another generator, not known here."""
SHARD_NAME = re.compile(r"shard[0-9]{1,9}\.npy")


def shard_name(number: int) -> str:
    """Return the file name of shard `number`."""
    return f"shard{number}.npy"


def labels_path(shard: Path) -> Path:
    """Return where the class indices of a shard lie, if its teacher is conditional."""
    return shard.with_name(shard.stem + ".labels.npy")


def write_shard(path: Path, states: np.ndarray, labels: np.ndarray | None) -> None:
    """Write scaled float16 states (n, states, C, H, W), and the class indices (n,) of a conditional teacher.

    Raises:
        ArtifactError: a state is not finite.
    """
    if (broken := unwritable(states)) is not None:
        raise ArtifactError(f"{path}: not written, its states hold {broken}; look at the weights of the teacher")
    if labels is not None:
        with atomic_path(labels_path(path)) as temporary, open(temporary, "wb") as file:
            np.save(file, labels)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, states)


def set_manifest(spec: TrajectorySet, digest: str, shards: list[tuple[str, dict[str, object]]]) -> dict[str, object]:
    """Return what the manifest of a set holds, from the names and records of its shards."""
    facts = shards[-1][1]
    evaluations = sum(float(record["nfe"]) * int(record["count"]) for _, record in shards)  # type: ignore[arg-type, call-overload]
    noise = {"noise": {"generator": GENERATOR, "seed": spec.seed}} if spec.keep == "x0+seed" else {}
    return {
        **noise,
        "teacher": spec.teacher,
        "solver": spec.solver,
        "nfe": evaluations / spec.count,
        "network_evals": round(evaluations),
        "count": spec.count,
        "sigmas": facts["sigmas"],
        "sigma_data": facts["sigma_data"],
        "label_dim": facts["label_dim"],
        "settings_digest": digest,
        "shards": [_listed(name, record) for name, record in shards],
    }


def _listed(name: str, record: dict[str, object]) -> dict[str, object]:
    """Return what a manifest says of a shard: its file, count and digests."""
    kept = ("count", "sha256", "labels_sha256", "noise_sha256")
    return {"file": name, **{key: record[key] for key in kept if key in record}}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a finished set: shards with their counts and digests, noise levels, classes, cost.

    Raises:
        ArtifactError: it is missing, damaged, or states what no set has.
    """
    path = folder / "manifest.json"
    try:
        manifest = bounded.check_fields(read_json(path, STAGE), {**FIELDS, "noise": dict}, optional=("noise",))
        for shard in manifest["shards"]:
            about = bounded.check_fields(shard, SHARD_FIELDS, optional=("labels_sha256", "noise_sha256"))
            if not SHARD_NAME.fullmatch(about["file"]) or about["count"] < 0:
                raise bounded.Damaged(f"a shard {about['file']!r} of {about['count']} trajectories")
            if manifest["label_dim"] and "labels_sha256" not in about:
                raise bounded.Damaged("no digest of its labels, as an older version of hkd wrote it")
            if ("noise" in manifest) != ("noise_sha256" in about):
                raise bounded.Damaged("it says where its noise comes from or what its digest is, but not both")
        sigmas = manifest["sigmas"]
        if len(sigmas) < 2 or not all(isinstance(s, int | float) and 0 <= s < math.inf for s in sigmas):
            raise bounded.Damaged(f"sigmas = {str(sigmas)[:80]}, not noise levels")
        if not manifest["shards"] or manifest["label_dim"] < 0 or not 0 < manifest["sigma_data"] < math.inf:
            raise bounded.Damaged("no shards, or a sigma_data or label_dim that cannot be")
        if manifest["count"] != (listed := sum(shard["count"] for shard in manifest["shards"])):
            raise bounded.Damaged(f"a count of {manifest['count']}, and shards of {listed} trajectories")
        if "noise" in manifest:
            bounded.check_fields(manifest["noise"], NOISE_FIELDS)
            if len(sigmas) != 2:
                raise bounded.Damaged(f"noise that is drawn again, and states at {len(sigmas)} noise levels")
    except bounded.Damaged as error:
        raise ArtifactError(f"{path}: {error}; delete it and run `hkd {STAGE}` again") from None
    return manifest


def open_set(folder: Path, manifest: Mapping[str, Any]) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Return every shard, memory-mapped, and the class indices of all trajectories of a conditional teacher.

    Raises:
        ArtifactError: a file is missing, damaged, or not what the manifest says.
    """
    # the first state, where it is drawn again from its address, is not stored
    states = len(manifest["sigmas"]) - ("noise" in manifest)
    shards = [_open(folder, shard, states) for shard in manifest["shards"]]
    if len({array.shape[2:] for array in shards}) > 1:
        raise ArtifactError(f"{folder}: its shards hold states of different shapes; run `hkd {STAGE}` again")
    if not (classes := manifest["label_dim"]):
        return shards, None
    labels = [_labels(folder, shard, classes) for shard in manifest["shards"]]
    return shards, np.concatenate(labels)


def verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Compare every shard with its digest in the manifest.

    Raises:
        ArtifactError: naming the shard that is of other bytes.
    """
    for shard in manifest["shards"]:
        _same_bytes(folder / shard["file"], shard["sha256"])


def _same_bytes(path: Path, digest: str) -> None:
    if sha256(path) != digest:
        raise ArtifactError(f"{path}: damaged; delete it and run `hkd {STAGE}`, or `snakemake --cores all {path}`")


def _open(folder: Path, shard: Mapping[str, Any], states: int) -> np.ndarray:
    path = folder / shard["file"]
    array = _read(path)
    if array.ndim != 5 or array.shape[:2] != (shard["count"], states) or array.dtype != np.float16:
        raise ArtifactError(f"{path}: holds {array.dtype} {array.shape}, not what the manifest says; run `hkd {STAGE}`")
    if math.prod(array.shape[2:]) > MOST_VALUES:
        raise ArtifactError(f"{path}: holds states of {array.shape[2:]}, larger than any image; run `hkd {STAGE}`")
    return array


def _labels(folder: Path, shard: Mapping[str, Any], classes: int) -> np.ndarray:
    path = labels_path(folder / shard["file"])
    labels = _read(path)
    _same_bytes(path, shard["labels_sha256"])
    known = labels.dtype.kind in "iu" and bool(((labels >= 0) & (labels < classes)).all())
    if labels.shape != (shard["count"],) or not known:
        raise ArtifactError(f"{path}: holds no class for each trajectory; delete it and run `hkd {STAGE}` again")
    return labels


def _read(path: Path) -> np.ndarray:
    """Return an array that this stage wrote, memory-mapped."""
    try:
        return bounded_arrays.map_npy(path)
    except (FileNotFoundError, bounded.Damaged) as error:
        what = f"damaged ({error})" if isinstance(error, bounded.Damaged) else "missing"
        raise ArtifactError(
            f"{path}: {what}; delete it and run `hkd {STAGE}`, or `snakemake --cores all {path}`"
        ) from None
