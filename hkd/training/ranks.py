"""The processes that train one network together: each holds all weights, and they add up their gradients.

Gradients of a network travel as one flat tensor. Networks are not wrapped: methods call more of them than `forward`,
and leave parameters unused in some steps, which wrappers do not allow.

`hkd.together` or `torchrun` starts the processes and tells them their numbers in the environment. What a process
decides by itself, such as to stop on a signal, is agreed upon between steps, so that none waits for another that has
left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from hkd.settings.origins import ConfigError

PATIENCE = timedelta(minutes=30)  # a process may compile or read for long


class Ranks:
    """One process of several; one that was started by itself exchanges nothing.

    Attributes:
        rank, size: number of this process, and how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1, *, alone: bool = True) -> None:
        self.rank, self.size = rank, size
        self._alone = alone and size == 1
        self._control: Any = None

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one exchange."""
        if self._alone or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [part.view_as(t) for part, t in zip(parts, tensors, strict=True)])

    def any(self, *flags: bool) -> list[bool]:
        """Return for each flag whether any process has raised it; on the host, so that no device is waited for."""
        if self._alone:
            return list(flags)
        raised = torch.tensor([float(flag) for flag in flags])
        torch.distributed.all_reduce(raised, op=torch.distributed.ReduceOp.MAX, group=self._control)
        return [bool(value) for value in raised.tolist()]

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.any(False)

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[Ranks]:
        """Be in touch with the other processes while the block runs."""
        if self._alone:
            yield self
            return
        backend = "nccl" if device.type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, rank=self.rank, world_size=self.size, timeout=PATIENCE)
        self._control = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
        try:
            yield self
        finally:
            torch.distributed.destroy_process_group()


ALONE = Ranks()


def of_environment() -> Ranks:
    """Return this process as `torchrun` has named it, or as the only one.

    Raises:
        ConfigError: the environment names it incompletely.
    """
    found = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE")}
    if found["WORLD_SIZE"] is None:
        return Ranks()
    numbers = [value for value in found.values() if value is not None and value.isascii() and value.isdigit()]
    if len(numbers) < 2 or not int(numbers[0]) < int(numbers[1]):
        raise ConfigError(
            f"RANK '{found['RANK']}', WORLD_SIZE '{found['WORLD_SIZE']}': no process of several; unset both"
        )
    return Ranks(int(numbers[0]), int(numbers[1]), alone=False)
