"""The gradient of a method from a batch that is cut up, over parts and processes, in double precision.

In single precision a comparison of gradients says little: with one place of a ReLU at a distance of 1e-8 from its
kink, on either side according to how the sums before it are ordered, HKD's differed by 2 %.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode

from hkd.methods.base import Method
from hkd.settings.sections import Training
from hkd.training.parts import Division, Part
from hkd.training.ranks import ALONE, Ranks
from hkd.training.trainer import Trainer

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
METHODS = sorted(f"{path.parent.name}/{path.stem}" for g in ("methods", "ablations") for path in CONFIGS.glob(f"{g}/*"))
QUICK = {"methods/edm", "methods/hkd", "methods/dmd", "methods/ict", "methods/rf2pp", "methods/score_sde"}
BATCH = 8
BOUND = 1e-9
SINGLE, DOUBLE = torch.float32, torch.float64


class _Double(TorchFunctionMode):
    """Computes in float64 whatever asks for float32."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = {key: self._wide(value) for key, value in (kwargs or {}).items()}
        made = func(*map(self._wide, args), **kwargs)
        return made.double() if isinstance(made, torch.Tensor) and made.dtype == SINGLE else made

    @staticmethod
    def _wide(value: Any) -> Any:
        return DOUBLE if value is SINGLE else value


@contextmanager
def in_double() -> Iterator[None]:
    """Compute in float64, in what asks for float32 too."""
    torch.set_default_dtype(DOUBLE)
    try:
        # by that name too, since HKD's network refuses weights that are not of that type
        with patch.object(torch, "float32", DOUBLE), _Double():
            yield
    finally:
        torch.set_default_dtype(SINGLE)


def in_parts(sizes: Sequence[int]) -> list[slice]:
    """Return the rows of parts of these sizes."""
    bounds = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
    return [slice(low, high) for low, high in pairwise(bounds)]


def of_rank(largest: int, ranks: Ranks) -> list[slice]:
    """Return the rows of a process's parts of at most so many images."""
    return Division(BATCH, largest, ranks.rank, ranks.size).rows()


def gradients(
    method: Method, settings: Training, parts: Sequence[tuple[slice, Any]], ranks: Ranks = ALONE
) -> dict[str, dict[str, torch.Tensor]]:
    """Return the gradient of every trained network by parameter, and its `loss`, from rows and their batches."""
    with in_double():
        trainer = Trainer(method.double().train(), settings, seed=0, ranks=ranks)
        losses = trainer._gradients(
            [Part(rows.start, (rows.stop - rows.start) / BATCH, batch) for rows, batch in parts], 1
        )
        found = {}
        for name, loss in losses.items():
            weights = getattr(method, name).named_parameters()
            found[name] = {key: p.grad.clone() for key, p in weights if p.grad is not None} | {"loss": loss}
    return found


def apart(found: dict[str, dict[str, torch.Tensor]], expected: dict[str, dict[str, torch.Tensor]]) -> float:
    """Return the largest difference of a network's gradient or loss, relative to its norm."""
    assert found.keys() == expected.keys() and found
    distances = []
    for name, theirs in expected.items():
        ours = found[name]
        assert ours.keys() == theirs.keys() and len(theirs) > 1
        distances.append(float((ours["loss"] - theirs["loss"]).abs() / theirs["loss"].abs()))
        # of the network as a whole: some weights, as the bias of keys, have no gradient but rounding
        a, b = (torch.cat([value.flatten() for key, value in one.items() if key != "loss"]) for one in (ours, theirs))
        distances.append(float((a - b).norm() / b.norm()))
    return max(distances)


@contextmanager
def meeting_at(port: int) -> Iterator[None]:
    """Have the processes of the block find each other at a port of this machine."""
    with patch.dict(os.environ, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)):
        yield


def second(port: int) -> None:
    """Be the second of two processes: add up gradients with the first, of whatever comes in on stdin."""
    torch.set_num_threads(1)
    print("ready", flush=True)
    ranks = Ranks(1, 2, alone=False)
    with meeting_at(port), ranks.joined(torch.device("cpu")):
        while (task := pickle.load(sys.stdin.buffer)) is not None:
            gradients(*task, ranks)


if __name__ == "__main__":
    second(int(sys.argv[1]))
