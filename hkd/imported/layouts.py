"""What a file of released weights holds: which program wrote it, and its averaged tensors by the names they have there.

EDM's and ECT's pickles hold the averaged network as an object. Score SDE's code, and Rectified flow's after it, keeps
the names with the last weights and the averaged ones as a list in the order of the parameters. Others hold one mapping.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from hkd.imported.network_pickles import Instance, NetworkMachine, tensors_of
from hkd.imported.torch_files import LEGACY, read_torch
from hkd.store.bounded import Damaged, read_bytes
from hkd.store.lines import shortened
from hkd.store.pickle_machine import ForbiddenError, PickleError

MAX_PICKLE = 4 << 30  # bytes; the largest of EDM has 1.2 billion
MAX_FACT, LARGEST_FACT = 256, 2**53  # letters or numbers of one that is kept, and the largest number
Naming = Literal["edm", "score_sde", "guided"]
WRAPPED = "module."  # how torch names a network that several GPUs share
FIXED = ("all_modules.0.W",)  # frequencies: a parameter of Score SDE's network that nothing trains or averages
CONSTANTS = ("sigmas",)  # of its sampler


@dataclass(frozen=True)
class Found:
    """Tensors of a file.

    Attributes:
        naming: whose names they have.
        about: what the file says of the network that they are of, as far as it does.
    """

    naming: Naming
    tensors: dict[str, Tensor]
    about: dict[str, Any] = field(default_factory=dict)


def read(path: Path) -> Found:
    """Return the averaged weights in a file of EDM, ECT, Consistency Models, Score SDE or Rectified flow.

    Raises:
        Damaged: it is none of these, is damaged, or does more than hold tensors. FileNotFoundError: there is none.
    """
    if not os.path.isfile(path):
        if os.path.exists(path):
            raise Damaged("a folder or a device where a file should be")
        raise FileNotFoundError(path)
    with open(path, "rb") as file:
        start = file.read(len(LEGACY))
    if start[:1] == b"\x80" and start != LEGACY:
        return _of_network(read_bytes(path, MAX_PICKLE))
    return _of_state(read_torch(path))


def _of_network(content: bytes) -> Found:
    try:
        snapshot = NetworkMachine(content).run()
        if not isinstance(snapshot, dict) or not isinstance(snapshot.get("ema"), Instance):
            raise PickleError("no averaged network ('ema') in it")
        network = snapshot["ema"]
        given = {**network.part("_init_kwargs"), "class": network.class_name}
        about = {key: value for key, value in given.items() if type(key) is str and _plain(value)}
        return Found("edm", tensors_of(network), about)
    except ForbiddenError as error:
        raise Damaged(f"refused, it uses '{error}', which no snapshot of a network does") from None
    except PickleError as error:
        raise Damaged(f"not a snapshot of a network ({error})") from None


def _plain(value: Any) -> bool:
    """Whether a card may say this of a network."""
    if isinstance(value, list | tuple):
        return len(value) <= MAX_FACT and all(type(item) in (int, float) and _plain(item) for item in value)
    if isinstance(value, str):
        return len(value) <= MAX_FACT
    return isinstance(value, int | float) and abs(value) <= LARGEST_FACT


def _of_state(state: Any) -> Found:
    if not isinstance(state, dict):
        raise Damaged(f"holds {type(state).__name__}, expected tensors by name")
    if isinstance(state.get("ema"), dict) and isinstance(state.get("model"), dict):
        return Found("score_sde", _averaged(_tensors(state["model"]), state["ema"].get("shadow_params")))
    tensors = _tensors(state)
    return Found("guided" if any(name.startswith("input_blocks.") for name in tensors) else "edm", tensors)


def _tensors(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    found = {str(name).removeprefix(WRAPPED): value for name, value in state.items()}
    if odd := [name for name, value in found.items() if not isinstance(value, Tensor)]:
        raise Damaged(f"holds {type(found[odd[0]]).__name__} as {odd[0][:80]!r}, expected a tensor")
    return {name: value for name, value in found.items() if name not in CONSTANTS}


def _averaged(last: dict[str, Tensor], averaged: Any) -> dict[str, Tensor]:
    """Return the averaged weights by name: a list, in the order in which the last ones are named."""
    names = [name for name in last if name not in FIXED or last[name].dim() != 1]
    if not isinstance(averaged, list | tuple) or not all(isinstance(value, Tensor) for value in averaged):
        raise Damaged("no averaged weights ('shadow_params') in it")
    if len(averaged) != len(names):
        raise Damaged(f"{len(averaged):,} averaged tensors for {len(names):,} names")
    for name, value in zip(names, averaged, strict=True):
        if value.shape != last[name].shape:
            raise Damaged(f"{shortened(name)}: averaged {tuple(value.shape)}, last {tuple(last[name].shape)}")
    return {**last, **dict(zip(names, averaged, strict=True))}
