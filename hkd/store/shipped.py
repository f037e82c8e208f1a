"""Weights that come with the package: use them in a run, or make them from a finished run.

Each is a safetensors file and a card beside it: what it is, how it was made, its digest and its measured quality.
Weights are stored in float16, half the size of those trained; a run converts them back to float32.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hkd.settings.origins import ConfigError, nearest
from hkd.store import bounded
from hkd.store.artifacts import Arrays, load_weight_arrays, save_weight_arrays, weights_about
from hkd.store.atomic import sha256, write_json
from hkd.store.records import Record
from hkd.store.refusals import ArtifactError

SHIPPED = Path(__file__).resolve().parents[1] / "shipped"
CARD: dict[str, Any] = {
    "name": str,
    "sha256": str,
    "quality": dict,
    "trained_sha256": str,
    "budget": dict,
    "shape": dict,
    "checkpoint": str,
    "recipe": dict,
    "trajectories": dict,
    "start": (dict, type(None)),
    "cpu_seconds": (int, float),
    "further": dict,
}
OPTIONAL = ("budget", "shape", "checkpoint", "recipe", "trajectories", "start", "cpu_seconds", "further")
SHAPE: dict[str, Any] = {"resolution": int, "channels": int, "label_dim": int}


def shipped_weights(name: str) -> tuple[Arrays, dict[str, Any]]:
    """Return the weights, as arrays of float32, and the card of shipped ones.

    Raises:
        ArtifactError: the file is missing or is not the one on the card.
    """
    path, card = SHIPPED / f"{name}.safetensors", read_card(name)
    if not path.exists() or sha256(path) != card["sha256"]:
        raise ArtifactError(
            f"{path}: missing or damaged; restore it from the repository, or use --config teacher=train"
        )
    return _of_floats(load_weight_arrays(path), np.float32), card


def card_path(name: str) -> Path:
    """Return where the card of shipped weights lies."""
    return SHIPPED / f"{name}.json"


def read_card(name: str) -> dict[str, Any]:
    """Return the card of shipped weights; of those of a run it also holds `budget`, `shape`, `recipe` and the like.

    `further`, where there is one, is of trainings by the same recipe from other seeds, whose weights are not shipped:
    their `seeds`, and a number of each for every entry of `quality`.

    Raises:
        ArtifactError: it is missing, damaged, or lacks what a card says.
    """
    path = card_path(name)
    try:
        card = bounded.parse_json(bounded.read_bytes(path, bounded.SHORT_JSON_BYTES))
        card = bounded.check_fields(card, CARD, optional=OPTIONAL)
        if "shape" in card:
            shape = bounded.check_fields(card["shape"], SHAPE)
            if shape["resolution"] < 1 or shape["channels"] < 1 or shape["label_dim"] < 0:
                raise bounded.Damaged("its shape is that of no image")
        bounded.check_fields(card["quality"], dict.fromkeys(card["quality"], (int, float)))
        if "further" in card:
            _check_further(card["further"], set(card["quality"]))
    except (FileNotFoundError, bounded.Damaged) as error:
        reason = error if isinstance(error, bounded.Damaged) else "missing"
        raise ArtifactError(f"{path}: {reason}; restore it from the repository") from None
    return card


def adopt(name: str, out: Path, record: Record) -> None:
    """Write shipped weights to `out` as if they had been trained there."""
    state, card = shipped_weights(name)
    save_weight_arrays(out, state, weights_about(SHIPPED / f"{name}.safetensors"))
    record.write(out, route="shipped", quality=card["quality"], name=card["name"])


def ship(name: str, weights: Path, card: dict[str, Any]) -> Path:
    """Write the weights of a finished run, in float16, and their card; return the card's path."""
    state = _of_floats(load_weight_arrays(weights), np.float16)
    path = SHIPPED / f"{name}.safetensors"
    save_weight_arrays(path, state, weights_about(weights))
    write_json(card_path(name), {"name": name, "sha256": sha256(path), **card})
    return card_path(name)


def add_further(name: str, further: dict[str, list[float]]) -> Path:
    """Put the quality of further trainings on the card of shipped weights, which stay as they are; return its path.

    Raises:
        ArtifactError: the card is missing or damaged, or these are not numbers of what its `quality` names.
    """
    path, card = card_path(name), read_card(name)
    try:
        _check_further(further, set(card["quality"]))
    except bounded.Damaged as error:
        raise ArtifactError(f"{path}: further trainings: {error}") from None
    write_json(path, {**card, "further": further})
    return path


def _check_further(further: dict[str, Any], quality: set[str]) -> None:
    """Raise Damaged unless it has a list of seeds, and of every quality one number for each of them."""
    known = bounded.check_fields(further, dict.fromkeys(further, list))
    if set(known) != {"seeds", *quality}:
        raise bounded.Damaged("its field 'further' has other entries than 'seeds' and those of 'quality'")
    for key, values in known.items():
        kind = int if key == "seeds" else (int, float)
        numbered = {f"{key} {k}": value for k, value in enumerate(values)}
        bounded.check_fields(numbered, dict.fromkeys(numbered, kind))
        if key == "seeds" and (min(values, default=0) < 1 or len(set(values)) < len(values)):
            raise bounded.Damaged("its field 'further' has seeds that are none, below 1, or twice there")
        if len(values) != len(known["seeds"]):
            raise bounded.Damaged(f"its field 'further' has {len(values)} of '{key}' for {len(known['seeds'])} seeds")


def _of_floats(arrays: Arrays, kind: type[np.floating[Any]]) -> Arrays:
    return {key: x.astype(kind) if np.issubdtype(x.dtype, np.floating) else x for key, x in arrays.items()}


@cache
def shipped_digest(name: str) -> str:
    """Return the digest on the card of shipped weights.

    Raises:
        ConfigError: there are no such weights.
    """
    card = card_path(name)
    if not card.exists():
        known = [p.stem for p in SHIPPED.glob("*.json")]
        raise ConfigError(f"shipped weights '{name}': no card {card.name} in {SHIPPED}. {nearest(name, known)}")
    return str(read_card(name)["sha256"])
