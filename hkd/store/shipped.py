"""Weights that come with the package: use them in a run, or make them from a finished run.

Each is a safetensors file and a card beside it: what it is, how it was made, its digest and its measured quality.
Weights are stored in float16, half the size of those trained; a run converts them back to float32.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hkd.settings.origins import ConfigError, nearest
from hkd.store import bounded
from hkd.store.artifacts import Arrays, load_weight_arrays, save_weight_arrays, weights_about
from hkd.store.atomic import sha256, write_json
from hkd.store.lines import shortened
from hkd.store.refusals import ArtifactError

SHIPPED = Path(__file__).resolve().parents[1] / "shipped"
TRAINED_BY = {"methods": "teacher", "shipped": "students", "extractors": "extractors"}
"""The key of a benchmark whose value `train` makes weights in the run, by the group of what they answer."""

NUMBER = (int, float)
CARD: dict[str, Any] = {
    "name": str,
    "sha256": str,
    "quality": dict,
    "trained_sha256": str,
    "title": str,
    "licence": str,
    "data": dict,
    "trained_by": str,
    "commit": str,
    "versions": dict,
    "budget": dict,
    "shape": dict,
    "checkpoint": str,
    "recipe": dict,
    "trajectories": dict,
    "start": (dict, type(None)),
    "cpu_seconds": NUMBER,
    "further": dict,
}
OPTIONAL = CARD.keys() - {"name", "sha256", "quality", "trained_sha256"}
SHAPE: dict[str, Any] = {"resolution": int, "channels": int, "label_dim": int}
START: dict[str, Any] = {"base": str, "weights": str, "source": str}
BUDGET: dict[str, Any] = {
    **dict.fromkeys(("params", "steps", "train_images", "network_evals", "teacher_evals"), int),
    "train_seconds": NUMBER,
    **dict.fromkeys(("train_cpu_seconds", "train_gpu_seconds"), (int, float, type(None))),
}


def way_round(what: str) -> str:
    """Return what to do where the shipped weights that answer `what`, as group/name, cannot be used."""
    return f"restore it from the repository, or {instead(what)}" if what else "restore it from the repository"


def instead(what: str) -> str:
    """Return what to say to a command so that nothing takes the shipped weights that answer `what`, as group/name."""
    group, _, name = what.partition("/")
    there = f"; methods/{name} is trained then" if group == "shipped" else ""
    return f"use --config {TRAINED_BY[group]}=train{there}"


def unusable(name: str, why: str, what: str = "") -> ArtifactError:
    """Return the error of a card that cannot be what it says, of weights that answer `what`, as group/name."""
    return ArtifactError(f"{card_path(name)}: {why}; it is damaged or of another version: {way_round(what)}")


def shipped_weights(name: str, what: str = "") -> tuple[Arrays, dict[str, Any]]:
    """Return the weights, as arrays of float32, and the card of shipped ones that answer `what`, as group/name.

    Raises:
        ArtifactError: the file is missing or is not the one on the card.
    """
    path, card = weights_path(name), read_card(name, what)
    if not path.exists() or sha256(path) != card["sha256"]:
        raise ArtifactError(f"{path}: missing or damaged; {way_round(what)}")
    return _of_floats(load_weight_arrays(path), np.float32), card


def weights_path(name: str) -> Path:
    """Return where shipped weights lie."""
    return SHIPPED / f"{name}.safetensors"


def card_path(name: str) -> Path:
    """Return where the card of shipped weights lies."""
    return SHIPPED / f"{name}.json"


def read_card(name: str, what: str = "") -> dict[str, Any]:
    """Return the card of shipped weights; of those of a run it also holds `budget`, `shape`, `recipe` and the like.

    `further`, where there is one, is of trainings by the same recipe from other seeds, whose weights are not shipped:
    their `seeds`, and a number of each for every entry of `quality`.

    Args:
        what: they answer, as group/name: the message of an error then says how to do without them.
    Raises:
        ArtifactError: it is missing or damaged, lacks what a card says, or says what none does.
    """
    try:
        card = bounded.parse_json(bounded.read_bytes(card_path(name), bounded.SHORT_JSON_BYTES))
        _check_card(card, name)
    except FileNotFoundError:
        raise ArtifactError(f"{card_path(name)}: missing; {way_round(what)}") from None
    except bounded.Damaged as error:
        raise unusable(name, str(error), what) from None
    return dict(card)


def _check_card(card: Any, name: str) -> None:
    """Raise Damaged unless every entry is one that cards have, and of its type."""
    _check_section(card, CARD, optional=OPTIONAL)
    if card["name"] != name:
        raise bounded.Damaged(f"its field 'name' is {shortened(repr(card['name']))}")
    _check_section(card["quality"], dict.fromkeys(card["quality"], NUMBER), "quality")
    if "shape" in card:
        _check_section(card["shape"], SHAPE, "shape")
        if not all(size > 0 for key, size in card["shape"].items() if key != "label_dim") or _negative(card["shape"]):
            raise bounded.Damaged(f"its shape {card['shape']} is that of no image")
    if "budget" in card:
        _check_section(card["budget"], BUDGET, "budget", optional=BUDGET.keys())
        if below := _negative(card["budget"]):
            raise bounded.Damaged(f"its field 'budget.{below}' is negative: {card['budget'][below]}")
    if card.get("start") is not None:
        _check_section(card["start"], START, "start")
    if "further" in card:
        _check_further(card["further"], set(card["quality"]))


def _check_section(content: Any, fields: dict[str, Any], at: str = "", optional: Collection[str] = ()) -> None:
    """Raise Damaged for the first entry that is unknown, missing or of another type, with its key and value."""
    found, before = bounded.check_fields(content, {}), f"{at}." if at else ""
    if odd := min(found.keys() - fields.keys(), default=""):
        raise bounded.Damaged(f"its key '{before}{shortened(odd)}' is not known: {_shown(found[odd])}")
    for key, kinds in fields.items():
        if key in found or key not in optional:
            named = {f"{before}{key}": found[key]} if key in found else {}
            try:
                bounded.check_fields(named, {f"{before}{key}": kinds})
            except bounded.Damaged as error:
                raise bounded.Damaged(f"{error}: {_shown(found[key])}" if named else str(error)) from None


def _shown(value: Any) -> str:
    return shortened(repr(value))


def _negative(numbers: dict[str, float]) -> str:
    """Return the key of the first number below 0, or nothing."""
    return next((key for key, value in numbers.items() if value is not None and value < 0), "")


def ship(name: str, weights: Path, card: dict[str, Any]) -> Path:
    """Write the weights of a finished run, in float16, and their card; return the card's path."""
    state = _of_floats(load_weight_arrays(weights), np.float16)
    path = weights_path(name)
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
def shipped_digest(name: str, what: str = "") -> str:
    """Return the digest on the card of the shipped weights that answer `what`, as group/name.

    Raises:
        ConfigError: there are no such weights.
    """
    card = card_path(name)
    if not card.exists():
        known = [p.stem for p in SHIPPED.glob("*.json")]
        hint = f" Else {way_round(what)}" if what else ""
        raise ConfigError(f"shipped weights '{name}': no card {card.name} in {SHIPPED}. {nearest(name, known)}{hint}")
    return str(read_card(name, what)["sha256"])
