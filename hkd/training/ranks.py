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
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from hkd.settings.origins import ConfigError
from hkd.store.refusals import Refused, of_memory

PATIENCE = timedelta(minutes=30)  # a process may compile or read for long


class Lost(Refused):
    """Another process of a training has gone, or cannot be reached."""


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

    def flat(self, tensors: Sequence[Tensor]) -> Tensor | None:
        """Return tensors as one, to be added up; None where nothing is exchanged, or the device has no room for it."""
        if self._alone or not tensors:
            return None
        try:
            return torch.cat([tensor.reshape(-1) for tensor in tensors])
        except (MemoryError, RuntimeError) as error:
            if not of_memory(error):
                raise
            return None

    def add_up(self, tensors: Sequence[Tensor], flat: Tensor | None) -> None:
        """Replace each tensor by its sum over all processes.

        Args:
            flat: the same tensors as one, for one exchange; None, in all processes, for an exchange of each.
        Raises:
            Lost: another process has gone.
        """
        if self._alone or not tensors:
            return
        if flat is None:
            for tensor in tensors:
                dense = tensor.contiguous()
                self._sum(dense)
                tensor.copy_(dense)
            return
        self._sum(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [part.view_as(t) for part, t in zip(parts, tensors, strict=True)])

    def _sum(self, tensor: Tensor) -> None:
        with self._touch():
            torch.distributed.all_reduce(tensor)

    def any(self, *flags: bool) -> list[bool]:
        """Return for each flag whether any process has raised it; on the host, so that no device is waited for.

        Raises:
            Lost: another process has gone.
        """
        if self._alone:
            return list(flags)
        raised = torch.tensor([float(flag) for flag in flags])
        with self._touch():
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
        with self._touch():
            torch.distributed.init_process_group(backend, rank=self.rank, world_size=self.size, timeout=PATIENCE)
            self._control = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
        try:
            yield self
        finally:
            with suppress(RuntimeError):  # of others that have gone: what is to be said of that is said
                torch.distributed.destroy_process_group()

    @contextmanager
    def _touch(self) -> Iterator[None]:
        """Say in one line that another process cannot be reached; only that one knows why."""
        try:
            yield
        except RuntimeError as error:
            if of_memory(error):
                raise
            why = str(error).strip().partition("\n")[0]
            raise Lost(
                f"process {self.rank} of {self.size}: another process of this training has gone ({why[:200]}); "
                "the same command goes on from the last state"
            ) from error


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
